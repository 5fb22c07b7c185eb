"""Which class an image is to become, and which way attributes move it there.

An attribute found for target t says which direction makes images of other classes more of t; on those it was chosen, and on those it is
counted (`towards`). Between two classes the same coordinate, the other way, may make images of t less of it: images of both are shown
(`goals`). Of more classes, images of t itself have no goal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stylexport.attfind.counterfactual import Move, MoveLike
from stylexport.attfind.effects.effects import Effects, measured_of
from stylexport.attfind.select.attributes import Selection
from stylexport.common.errors import BadInput
from stylexport.common.types import Array


@dataclass(frozen=True)
class Goal:
    """An image, the label that it is to flip to, and whether the target's directions are reversed for it."""

    image: int
    label: int
    reversed: bool


def towards(effects: Effects, target: int) -> list[Goal]:
    """The goals of all measured images of other classes, in their order."""
    return [goal for goal in goals(effects, target) if not goal.reversed]


def goals(effects: Effects, target: int) -> list[Goal]:
    """The goals of all measured images that have one, in their order; of two classes the target's own images are to leave it."""
    labels = effects.base_logits.shape[1]
    found = []
    for image, own in enumerate(effects.classes.tolist()):
        if effects.done[image] and (own != target or labels == 2):
            found.append(Goal(image, target if own != target else 1 - target, own == target))
    return found


def moves_for(moves: Iterable[MoveLike], goal: Goal) -> list[Move]:
    """The target's moves as they go in this goal's image."""
    return [Move(1 - move.direction if goal.reversed else move.direction, move.coordinate) for move in moves]


def gains(effects: Effects, goals: Sequence[Goal]) -> Array:
    """The effect of every move of the target's list on each goal's own label [len(goals), 2, S]."""
    found = np.empty((len(goals), *effects.effects.shape[1:3]), np.float32)
    for row, goal in enumerate(goals):
        own = effects.effects[goal.image, :, :, goal.label]
        found[row] = own[::-1] if goal.reversed else own
    return found


def is_measured(effects: Effects, goals: Sequence[Goal], move: MoveLike) -> Array:
    """Whether a move of the target's list was measured in each goal's image [len(goals)]: always, unless the run was screened."""
    by_class = {own: measured_of(effects.about, own, effects.effects.shape[2]) for own in set(effects.classes.tolist())}
    found = [by_class[int(effects.classes[goal.image])][moves_for([move], goal)[0]] for goal in goals]
    return np.array(found, bool)


def label_of(effects: Effects, name: str) -> int:
    """A label by its name, else by its number. Raises BadInput."""
    labels = effects.labels
    if name in labels:
        return labels.index(name)
    if name.isdecimal() and int(name) < effects.base_logits.shape[1]:
        return int(name)
    raise BadInput(f"--target-class {name}: the run's labels are {', '.join(f'{label} ({i})' for i, label in enumerate(labels))}")


def check(effects: Effects, selection: Selection) -> None:
    """Raises BadInput where there are no attributes, or where they were selected from a run of another model or classifier."""
    found = [*selection, *(attribute for own in selection.by_class.values() for attribute in own)]
    size, labels = effects.effects.shape[2:]
    if not found:
        raise BadInput("no attributes are selected; run `stylexport attfind select` with other settings")
    for what, digest in selection.measured_on.items():
        if effects.digests.get(what, digest) != digest:
            raise BadInput(f"the attributes were selected on another {what} than this run's; run `stylexport attfind select` on this run")
    for attribute in found:
        if attribute.coordinate >= size or attribute.target >= labels:
            raise BadInput(
                f"an attribute is coordinate {attribute.coordinate} towards label {attribute.target}, the run has {size:,} coordinates "
                f"and {labels} labels: it was selected from another run; select again"
            )
