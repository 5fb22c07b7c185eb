"""Sufficiency of a StylEx in training: AttFind on a few held-out images, and how many its attributes flip together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.counterfactual import counterfactual
from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.effects.measure import measure as measure_effects
from stylexport.attfind.evaluate.evaluate import ATTRIBUTES, RANDOM, VARIANCE, evaluate
from stylexport.attfind.select.attributes import Attribute
from stylexport.attfind.select.rules import Rules
from stylexport.attfind.select.select import select
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.locks import temporary_folder
from stylexport.common.types import Progress
from stylexport.torch_models.stylex import StylEx
from stylexport.training.metrics.encode import encoded

NAMES = {ATTRIBUTES: "sufficiency", RANDOM: "sufficiency_random", VARIANCE: "sufficiency_variance"}


class Explanation(NamedTuple):
    """What AttFind found of a StylEx: its effects with the networks behind them, and each class's own list."""

    subject: Subject
    lists: Mapping[int, Sequence[Attribute]]

    def shares(self, *, random: int = 5, seed: int = 0, batch: int = 64) -> dict[str, float]:
        """Which share of images changes its class when the lists' coordinates move together, random ones, and those that vary most.

        Each share is 0 where AttFind found no attribute at all.
        """
        if not any(self.lists.values()):
            return dict.fromkeys(NAMES.values(), 0.0)
        found = evaluate(self.subject, self.lists, random=random, seed=seed, batch=batch)
        return {name: float(found.rankings[kind].share()[-1]) for kind, name in NAMES.items()}

    @torch.no_grad()
    def pictures(self, images: int = 8, attributes: int = 3) -> dict[str, Tensor]:
        """For each label that has a list some reconstructions of other classes, and under them what each of its first attributes does.

        A picture is [3, (1 + attributes) R, images R], in the images' own range.
        """
        subject, found = self.subject, {}
        for target, own in self.lists.items():
            rows = np.flatnonzero(subject.effects.classes != target)[:images]
            if not own or not len(rows):
                continue
            latents = torch.from_numpy(subject.effects.latents[rows]).to(subject.model.device)
            low, high = subject.effects.style_min, subject.effects.style_max
            before = counterfactual(subject.model, latents, [], style_min=low, style_max=high).images
            chosen = own[:attributes]
            changed = counterfactual(subject.model, latents, chosen, style_min=low, style_max=high, together=False).images
            grid = torch.cat([before[:, None], changed], 1)  # [N, 1 + K, 3, R, R]
            found[subject.label(target)] = torch.cat([torch.cat([*row], 1) for row in grid], 2)
        return found


@torch.no_grad()
def explained(
    stylex: StylEx,
    images: Tensor,
    classify: Callable[[Tensor], Tensor],
    *,
    top: int = 10,
    in_loop: bool = True,
    batch: int = 64,
    progress: Progress | None = None,
) -> Explanation:
    """AttFind's first `top` coordinates of each class on reconstructions of `images` [N, 3, R, R].

    The effects of all 2 S changes of every image are measured, so N is kept small; the minima and maxima are those of these images. The
    threshold T is infinite: a list is the coordinates of the largest mean effects, and has `top` of them. Raises BadInput where the
    classifier gives no raw logits.
    """
    device = next(stylex.parameters()).device
    parts = [part.to(device) for part in images.split(batch)]
    latents = torch.cat([encoded(stylex, part, classify(part), in_loop) for part in parts])
    return of_latents(stylex, latents, classify, top=top, batch=batch, progress=progress)


@torch.no_grad()
def of_latents(
    stylex: StylEx,
    latents: Tensor,
    classify: Callable[[Tensor], Tensor],
    *,
    top: int = 10,
    batch: int = 64,
    progress: Progress | None = None,
) -> Explanation:
    """`explained` of the images that `latents` [N, latent + labels] make."""
    model = StylExModel(stylex)
    with temporary_folder() as folder:
        run = create_run(folder, model, classify, latents.float().cpu().numpy(), labels=stylex.labels, batch=batch)
        measure_effects(run, model, classify, batch, progress=progress)
        effects = Effects.load(run.folder)
    lists = select(effects, top=top, rules=Rules(threshold=math.inf)).by_class
    return Explanation(Subject(effects, model, classify), lists)


def sufficiency(
    stylex: StylEx, images: Tensor, classify: Callable[[Tensor], Tensor], *, random: int = 5, seed: int = 0, batch: int = 64, **more: Any
) -> dict[str, float]:
    """`Explanation.shares` of what `explained` finds; `more` is as there.

    Example (a classifier that always says the same has no attributes):
        >>> import tempfile
        >>> from stylexport import convert, load
        >>> from stylexport.checkpoints import EMBEDDED
        >>> folder = tempfile.mkdtemp()
        >>> _ = convert(EMBEDDED, folder + "/converted")
        >>> stylex, one_label = load(folder + "/converted"), torch.tensor([[2.0, -1.0]])
        >>> sufficiency(stylex, torch.zeros(1, 3, 32, 32), lambda images: one_label.expand(len(images), 2), top=3)["sufficiency"]
        0.0

    """
    return explained(stylex, images, classify, batch=batch, **more).shares(random=random, seed=seed, batch=batch)
