"""Sufficiency of a StylEx in training: AttFind on a few held-out images, and how many its attributes flip together."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from attfind.begin import begin
from attfind.evaluate import ATTRIBUTES, RANDOM, VARIANCE, evaluate
from attfind.measure import measure as measure_effects
from attfind.model import StylExModel
from attfind.reopen import Subject
from attfind.select import Rules, select
from torch_models.stylex import StylEx
from training.metrics.latents import encoded

Progress = Callable[[str, int, int], None]
NAMES = {ATTRIBUTES: "sufficiency", RANDOM: "sufficiency_random", VARIANCE: "sufficiency_variance"}


@torch.no_grad()
def sufficiency(
    stylex: StylEx,
    images: Tensor,
    classify: Callable[[Tensor], Tensor],
    *,
    top: int = 10,
    random: int = 5,
    seed: int = 0,
    in_loop: bool = True,
    batch: int = 64,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Which share of reconstructions changes its class when `top` coordinates move together: AttFind's, random ones, those that vary most.

    The effects of all 2 S changes of every image [N, 3, R, R] are measured, so N is kept small; the minima and maxima are those of these
    images. The threshold T is infinite, so that a list ends at `top` and not where effects would add up to T. Where AttFind finds no
    attribute at all, each share is 0. Raises BadInput where the classifier gives no raw logits.
    """
    model = StylExModel(stylex)
    parts = [part.to(model.device) for part in images.split(batch)]
    latents = torch.cat([encoded(stylex, part, classify(part), in_loop) for part in parts]).float().cpu().numpy()
    with tempfile.TemporaryDirectory() as folder:
        run = begin(Path(folder), model, classify, latents, labels=stylex.labels, batch=batch)
        measure_effects(run, model, classify, batch, progress=progress)
        effects = run.gathered()
    lists = select(effects, top=top, rules=Rules(threshold=math.inf)).by_class
    if not any(lists.values()):
        return dict.fromkeys(NAMES.values(), 0.0)
    found = evaluate(Subject(effects, model, classify), lists, random=random, seed=seed, batch=batch)
    return {name: float(found.tried[kind].share()[-1]) for kind, name in NAMES.items()}
