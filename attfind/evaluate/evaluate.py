"""Sufficiency: how many images change their class when the first 1, 2, ... K attributes move together (Lang et al. 2021, section 4.3).

An image is moved by the list of the class that it is to become, which was chosen on images like it. The same count is made for
coordinates drawn at random and for those whose style varies most over the images. Both take, of a coordinate's two directions, the one with
the larger mean effect, so that what is compared is the choice of coordinates alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.counterfactual import Move, MoveLike, growing, render
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.select.goals import Goal, gains, towards
from stylexport.common.errors import BadInput
from stylexport.common.types import Array, Progress

Distance = Callable[[Tensor, Tensor], Tensor]
ATTRIBUTES, RANDOM, VARIANCE = "attributes", "random", "variance"


@dataclass(frozen=True)
class FlipCounts:
    """What the rankings of one kind do: R of them, N images, the first 1 ... K coordinates together.

    `flipped` [R, N, K] whether the image is given the goal's label; `l1` [R, N, K] the mean absolute change of a pixel, in the images' own
    range; `lpips` likewise, or None where it was not measured.
    """

    flipped: Array
    l1: Array
    lpips: Array | None = None

    def share(self, images: Array | None = None) -> Array:
        """Which share [K] of the images (of those that `images` [N] marks) flips, the mean over the rankings."""
        chosen = self.flipped if images is None else self.flipped[:, images]
        return chosen.mean((0, 1))

    @property
    def deviation(self) -> Array:
        """The standard deviation [K] of the rankings' shares (that of a sample; 0 of one ranking)."""
        shares = self.flipped.mean(1)
        return shares.std(0, ddof=1) if len(shares) > 1 else np.zeros(shares.shape[1])


@dataclass(frozen=True)
class Evaluation:
    """The count over images with these `goals`, each moved by its goal's list, and for both baselines; `rankings` by their names.

    `lengths` says how many attributes each target's list has; `classes` [N] are the images' own, before.
    """

    lengths: dict[int, int]
    goals: tuple[Goal, ...]
    classes: Array
    rankings: dict[str, FlipCounts]

    @property
    def least(self) -> Array:
        """How many of the first attributes must move before an image flips [N]; 0 where K are too few."""
        flipped = self.rankings[ATTRIBUTES].flipped[0]
        return np.where(flipped.any(1), flipped.argmax(1) + 1, 0)


def evaluate(
    subject: Subject,
    lists: Mapping[int, Sequence[MoveLike]],
    *,
    top: int | None = None,
    random: int = 5,
    seed: int = 0,
    batch: int = 32,
    distance: Distance | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Counts, for each target's list (`Selection.by_class`), on all measured images of other classes than the target.

    `top` is K, by default the longest list's; a shorter list moves whole from its end on. `random` is how many rankings are drawn with
    `seed`, each as long as the target's list; `distance` takes two batches of images to [B] (LPIPS). At most `batch` images are made at
    once. Raises BadInput where no attribute or no image is there to move.

    Example:
        >>> from stylexport.attfind import Autoencoder
        >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
        >>> latents = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5]], np.float32)  # styles too; their first two are the logits
        >>> low, high, zeros = latents.min(0), latents.max(0), np.zeros((2, 2, 3, 2), np.float32)
        >>> effects = Effects(zeros, latents[:, :2], latents, latents, low, high, np.ones(2, bool), labels=("red", "green"))
        >>> subject = Subject(effects, model, lambda images: images.flatten(1)[:, :2])
        >>> evaluate(subject, {0: [Move(1, 0)]}, random=1).rankings[ATTRIBUTES].flipped.tolist()
        [[[True]]]

    """
    longest, effects = max((len(own) for own in lists.values()), default=0), subject.effects
    if not longest:
        raise BadInput("no attributes are selected; run `stylexport attfind select` with other settings")
    if top is not None and top > longest:
        raise BadInput(
            f"the first {top} attributes are asked for, and {longest} are selected; select more by `--top {top}`, or ask for fewer"
        )
    jobs: list[tuple[Goal, dict[str, list[Sequence[MoveLike]]]]] = []
    for target, own in lists.items():
        aims, moves = towards(effects, target), own[:top]
        if not aims:
            continue
        rankings: dict[str, list[Sequence[MoveLike]]] = {
            ATTRIBUTES: [moves],
            RANDOM: [*drawn(effects, aims, len(moves), random, seed)],
            VARIANCE: [varying(effects, aims, len(moves))],
        }
        jobs += [(goal, rankings) for goal in aims]
    if not jobs:
        names = " or ".join(map(subject.label, lists))
        raise BadInput(f"no measured image is of another class than {names}, so none can be flipped to it; measure others")
    jobs.sort(key=lambda job: job[0].image)
    found: list[list[Array]] = []
    with torch.no_grad():
        for number, (goal, rankings) in enumerate(jobs):
            if progress:
                progress("images", number, len(jobs))
            found.append(_image(subject, goal, [one for kind in rankings.values() for one in kind], top or longest, distance, batch))
    if progress:
        progress("images", len(jobs), len(jobs))
    flipped, l1 = (np.stack([one[i] for one in found], 1) for i in (0, 1))
    lpips = np.stack([one[2] for one in found], 1) if distance else None
    counts, start = {}, 0
    for name, count in ((ATTRIBUTES, 1), (RANDOM, random), (VARIANCE, 1)):
        part = slice(start, start + count)
        counts[name] = FlipCounts(flipped[part], l1[part], None if lpips is None else lpips[part])
        start += count
    lengths = {target: len(own[:top]) for target, own in lists.items()}
    return Evaluation(lengths, tuple(goal for goal, _ in jobs), effects.classes[[goal.image for goal, _ in jobs]], counts)


def drawn(effects: Effects, aims: Sequence[Goal], count: int, rankings: int, seed: int) -> list[list[Move]]:
    """Rankings of `count` coordinates drawn at random, none twice in one."""
    generator, mean = np.random.default_rng(seed), gains(effects, aims).mean(0)
    return [_directed(mean, generator.permutation(mean.shape[1])[:count]) for _ in range(rankings)]


def varying(effects: Effects, aims: Sequence[Goal], count: int) -> list[Move]:
    """The `count` coordinates whose styles vary most over the run's images."""
    return _directed(gains(effects, aims).mean(0), np.argsort(-effects.styles.var(0), kind="stable")[:count])


def _directed(mean: Array, coordinates: Array) -> list[Move]:
    return [Move(int(mean[:, c].argmax()), int(c)) for c in coordinates]


def _image(
    subject: Subject, goal: Goal, rankings: Sequence[Sequence[MoveLike]], top: int, distance: Distance | None, batch: int
) -> list[Array]:
    """One image under every ranking: flipped, L1, and LPIPS where there is a `distance`; each [R, K]."""
    effects, model = subject.effects, subject.model
    styles = effects.styles[goal.image]
    changed = np.stack([growing(styles, one, top, subject.shift, effects.style_min, effects.style_max) for one in rankings])
    editor = model.editor(torch.from_numpy(effects.latents[goal.image]).to(model.device))
    before = next(render(editor, styles[None], model.device, 1))
    parts = []
    for images in render(editor, changed.reshape(-1, changed.shape[-1]), model.device, batch):
        columns = [subject.classify(images).argmax(1) == goal.label, (images - before).abs().mean((1, 2, 3))]
        parts.append([*columns, distance(images, before.expand_as(images))] if distance else columns)
    return [torch.cat(column).cpu().numpy().reshape(changed.shape[:2]) for column in zip(*parts, strict=True)]
