"""Sufficiency: how many images change their class when the first 1, 2, ... K attributes move together (Lang et al. 2021, section 4.3).

The same count is made for coordinates drawn at random and for those whose style varies most over the images. Both take, of a coordinate's
two directions, the one with the larger mean effect, so that what is compared is the choice of coordinates alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attfind.attributes import Attribute
from attfind.edit import Array, Move, growing, paint
from attfind.goals import Goal, Step, gains, goals, turned
from attfind.reopen import Subject
from attfind.store import Effects
from converter.errors import BadInput

Distance = Callable[[Tensor, Tensor], Tensor]
Progress = Callable[[str, int, int], None]
ATTRIBUTES, RANDOM, VARIANCE = "attributes", "random", "variance"


@dataclass(frozen=True)
class Tried:
    """What rankings of one kind did: R of them, N images, the first 1 ... K coordinates together.

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
    """The count for attributes towards `target`, over images with these `goals`, and for both baselines (`tried` by their name).

    `classes` [N] are the images' own, before.
    """

    target: int
    goals: tuple[Goal, ...]
    classes: Array
    tried: dict[str, Tried]

    @property
    def least(self) -> Array:
        """How many of the first attributes must move before an image flips [N]; 0 where K are too few."""
        flipped = self.tried[ATTRIBUTES].flipped[0]
        return np.where(flipped.any(1), flipped.argmax(1) + 1, 0)


def evaluate(
    subject: Subject,
    attributes: Sequence[Attribute],
    *,
    top: int | None = None,
    random: int = 5,
    seed: int = 0,
    batch: int = 32,
    distance: Distance | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Counts on all measured images of other classes than the target; of two classes on the target's too, directions turned round.

    `top` is K, by default all attributes; `random` how many rankings are drawn with `seed`; `distance` takes two batches of images
    to [B] (LPIPS). At most `batch` images are made at once. Raises BadInput where the attributes do not speak of one target.
    """
    moves, target = towards_one(attributes, subject.effects.base_logits.shape[1])
    if top is not None and top > len(moves):
        raise BadInput(
            f"the first {top} attributes are asked for, and {len(moves)} are selected; select more by `--top {top}`, or ask for fewer"
        )
    moves = moves[:top]
    effects, aims = subject.effects, goals(subject.effects, target)
    if not aims:
        raise BadInput(f"no measured image is of another class than {subject.label(target)}, so none can be flipped to it; measure others")
    rankings = {
        ATTRIBUTES: [moves],
        RANDOM: drawn(effects, aims, len(moves), random, seed),
        VARIANCE: [varying(effects, aims, len(moves))],
    }
    each = [one for kind in rankings.values() for one in kind]
    found = []
    with torch.no_grad():
        for number, goal in enumerate(aims):
            if progress:
                progress("images", number, len(aims))
            found.append(_image(subject, goal, each, distance, batch))
    if progress:
        progress("images", len(aims), len(aims))
    flipped, l1 = (np.stack([one[i] for one in found], 1) for i in (0, 1))
    lpips = np.stack([one[2] for one in found], 1) if distance else None
    tried, start = {}, 0
    for name, kind in rankings.items():
        own = slice(start, start + len(kind))
        tried[name] = Tried(flipped[own], l1[own], None if lpips is None else lpips[own])
        start += len(kind)
    return Evaluation(target, tuple(aims), effects.classes[[goal.image for goal in aims]], tried)


def towards_one(attributes: Sequence[Attribute], labels: int) -> tuple[list[Step], int]:
    """The attributes as moves towards the first one's target; of two labels the others are turned round. Raises BadInput."""
    target = attributes[0].target
    told = [attribute if attribute.target == target or labels > 2 else attribute.turned() for attribute in attributes]
    if others := sorted({attribute.target for attribute in told} - {target}):
        raise BadInput(f"the attributes speak of {len(others) + 1} target classes; select those of one by --target-class")
    return [Step(attribute.direction, attribute.coordinate) for attribute in told], target


def drawn(effects: Effects, aims: Sequence[Goal], count: int, rankings: int, seed: int) -> list[list[Step]]:
    """Rankings of `count` coordinates drawn at random, none twice in one."""
    generator, mean = np.random.default_rng(seed), gains(effects, aims).mean(0)
    return [_directed(mean, generator.permutation(mean.shape[1])[:count]) for _ in range(rankings)]


def varying(effects: Effects, aims: Sequence[Goal], count: int) -> list[Step]:
    """The `count` coordinates whose styles vary most over the run's images."""
    return _directed(gains(effects, aims).mean(0), np.argsort(-effects.styles.var(0), kind="stable")[:count])


def _directed(mean: Array, coordinates: Array) -> list[Step]:
    return [Step(int(mean[:, c].argmax()), int(c)) for c in coordinates]


def _image(subject: Subject, goal: Goal, rankings: Sequence[Sequence[Move]], distance: Distance | None, batch: int) -> list[Array]:
    """One image under every ranking: flipped, L1, and LPIPS where there is a `distance`; each [R, K]."""
    effects, model = subject.effects, subject.model
    styles = effects.styles[goal.image]
    changed = np.stack([growing(styles, turned(one, goal), subject.shift, effects.style_min, effects.style_max) for one in rankings])
    painter = model.painter(torch.from_numpy(effects.latents[goal.image]).to(model.device))
    before = next(paint(painter, styles[None], model.device, 1))
    parts = []
    for images in paint(painter, changed.reshape(-1, changed.shape[-1]), model.device, batch):
        told = [subject.classify(images).argmax(1) == goal.label, (images - before).abs().mean((1, 2, 3))]
        parts.append([*told, distance(images, before.expand_as(images))] if distance else told)
    return [torch.cat(column).cpu().numpy().reshape(changed.shape[:2]) for column in zip(*parts, strict=True)]
