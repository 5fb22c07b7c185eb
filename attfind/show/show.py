"""What an attribute does where it works best: the images before and after, a sweep of its coordinate, and the classifier's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stylexport.attfind.counterfactual import Move, MoveLike, moved, render
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.model import layer_of
from stylexport.attfind.select.attributes import Attribute
from stylexport.attfind.select.goals import Goal, gains, goals, is_measured, moves_for
from stylexport.common.types import Array

FRAMES = 7  # of a sweep


@dataclass(frozen=True)
class Example:
    """One image under one attribute. Images are [3, R, R]; probabilities [L], those of the sweep [F, L].

    `sweep` [F, 3, R, R] goes from the coordinate's minimum `low` to its maximum `high` in equal steps; `own` is the image's value and
    `moved_to` the value behind `after`.
    """

    goal: Goal
    move: Move
    before: Array
    after: Array
    sweep: Array
    before_probabilities: Array
    after_probabilities: Array
    sweep_probabilities: Array
    own: float
    moved_to: float
    low: float
    high: float

    @property
    def flips(self) -> bool:
        """Whether the attribute alone makes the classifier answer with the goal."""
        return int(self.after_probabilities.argmax()) == self.goal.label

    @property
    def place(self) -> float:
        """Where the image's own value lies between minimum (0) and maximum (1)."""
        return (self.own - self.low) / (self.high - self.low) if self.high > self.low else 0.5


@dataclass(frozen=True)
class AttributeExamples:
    """An attribute with its examples, the best first; `helps` of `among` images move towards their goal, by `mean` a logit on average.

    In `unknown` others a screened run did not measure it.
    """

    attribute: Attribute
    examples: tuple[Example, ...]
    helps: int
    among: int
    mean: float
    unknown: int = 0


def show(
    subject: Subject, attribute: Attribute, *, images: int = 6, frames: int = FRAMES, batch: int = 32, only: int | None = None
) -> AttributeExamples:
    """The `images` in which an attribute works best, shared between its two ways where there are two classes; or `only` one image.

    Of a screened run those where it was measured.
    """
    effects = subject.effects
    every = [goal for goal in goals(effects, attribute.target) if only in (None, goal.image)]
    aims = [goal for goal, there in zip(every, is_measured(effects, every, attribute), strict=True) if there]
    gained = gains(effects, aims)[:, attribute.direction, attribute.coordinate]
    examples = tuple(example(subject, attribute, goal, frames, batch) for goal in best(aims, gained, images))
    mean = float(gained.mean()) if aims else 0.0
    return AttributeExamples(attribute, examples, int((gained > 0).sum()), len(aims), mean, len(every) - len(aims))


def best(aims: Sequence[Goal], gained: Array, count: int) -> list[Goal]:
    """The goals with the largest gains: as many of each way as there are, the better way first where one is left over.

    What an attribute does not help is left out, unless it helps nowhere.
    """
    order = np.argsort(-gained, kind="stable").tolist()
    order = [i for i in order if gained[i] > 0] or order
    ways = [[i for i in order if aims[i].reversed is way] for way in (False, True)]
    share = count // 2
    taken = {i for way, other in (ways, ways[::-1]) for i in way[: max(share, count - len(other))]}
    for i in order:
        if len(taken) >= count:
            break
        taken.add(i)
    return [aims[i] for i in order if i in taken][:count]


def example(subject: Subject, move: MoveLike, goal: Goal, frames: int = FRAMES, batch: int = 32) -> Example:
    """One image under one attribute, rendered again from its latent."""
    effects, model = subject.effects, subject.model
    styles, low, high = effects.styles[goal.image], effects.style_min, effects.style_max
    (own_move,) = moves_for([move], goal)
    c = own_move.coordinate
    after = moved(styles, [own_move], subject.shift, low, high)
    values = np.linspace(low[c], high[c], frames, dtype=np.float32)
    with torch.no_grad():
        editor = model.editor(torch.from_numpy(effects.latents[goal.image]).to(model.device))
        pair = torch.cat([*render(editor, np.stack([styles, after]), model.device, batch)])
        layer = layer_of(model.layers, c)
        sweep = torch.cat([editor.change(layer, [c] * len(part), part.to(model.device)) for part in torch.from_numpy(values).split(batch)])
        images = torch.cat([pair, sweep])
        probabilities = torch.cat([subject.classify(part).softmax(1) for part in images.split(batch)])
    pictures, answers = images.float().cpu().numpy(), probabilities.float().cpu().numpy()
    return Example(
        goal=goal,
        move=own_move,
        before=pictures[0],
        after=pictures[1],
        sweep=pictures[2:],
        before_probabilities=answers[0],
        after_probabilities=answers[1],
        sweep_probabilities=answers[2:],
        own=float(styles[c]),
        moved_to=float(after[c]),
        low=float(low[c]),
        high=float(high[c]),
    )
