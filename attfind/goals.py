"""Which class an image is to become, and which way attributes move it there.

An attribute found for target t says which direction makes images of other classes more of t. Between two classes the same coordinate, the
other way, makes images of t less of it, so that images of both are shown and counted. Of more classes, images of t itself have no goal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attfind.attributes import Attribute
from attfind.edit import Array, Move
from attfind.store import Effects
from converter.errors import BadInput


@dataclass(frozen=True)
class Goal:
    """An image, the label that it is to flip to, and whether the target's directions are turned round for it."""

    image: int
    label: int
    turned: bool


class Step(NamedTuple):
    """A move without more."""

    direction: int
    coordinate: int


def goals(effects: Effects, target: int) -> list[Goal]:
    """The goals of all measured images that have one, in their order."""
    labels = effects.base_logits.shape[1]
    found = []
    for image, own in enumerate(effects.classes.tolist()):
        if effects.done[image] and (own != target or labels == 2):
            found.append(Goal(image, target if own != target else 1 - target, own == target))
    return found


def turned(moves: Iterable[Move], goal: Goal) -> list[Step]:
    """The moves as they go in this goal's image."""
    return [Step(1 - move.direction if goal.turned else move.direction, move.coordinate) for move in moves]


def gains(effects: Effects, goals: Sequence[Goal]) -> Array:
    """What every move of the target's list does for each goal's own label [len(goals), 2, S]."""
    found = np.empty((len(goals), *effects.effects.shape[1:3]), np.float32)
    for row, goal in enumerate(goals):
        own = effects.effects[goal.image, :, :, goal.label]
        found[row] = own[::-1] if goal.turned else own
    return found


def check(effects: Effects, attributes: Iterable[Attribute]) -> None:
    """Raises BadInput where there are no attributes, or where one is none of this run's."""
    found = list(attributes)
    size, labels = effects.effects.shape[2:]
    if not found:
        raise BadInput("no attributes are selected; run `stylexport attfind select` with other settings")
    for attribute in found:
        if attribute.coordinate >= size or attribute.target >= labels:
            raise BadInput(
                f"an attribute is coordinate {attribute.coordinate} towards label {attribute.target}, the run has {size:,} coordinates "
                f"and {labels} labels: it was selected from another run; select again"
            )
