"""The selections of Lang et al. 2021, section 3.3, on plain arrays.

`gains` [n, 2, S] is what each image gains towards the target class by each move, max(0, effect). Each strategy returns moves in its order,
and why it stopped where it found fewer than were asked for. Of equal moves the first is taken: minimum before maximum, then the smaller
coordinate. Sums are float64, so that equal effects stay equal; bounds are float32 as the effects are, so that 0.2 is not over 0.2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np

from stylexport.attfind.counterfactual import Move
from stylexport.common.types import Array

Accept = Callable[[Move], bool]


class StrategyResult(NamedTuple):
    """Moves in their order, and why there are no more ("" where all that were asked for are there)."""

    moves: list[Move]
    stopped: str = ""


def gains_towards(effects: Array, target: int) -> Array:
    """The gains [n, 2, S] float64 of effects [n, 2, S, L].

    Example:
        >>> gains_towards(np.array([[[[0.5, -0.5]], [[-1.0, 1.0]]]]), 1).tolist()
        [[[0.0], [1.0]]]

    """
    return np.maximum(0.0, effects[..., target].astype(np.float64))


def unstable(effects: Array, above: float, entries: int) -> Array:
    """Which images [n] of effects [n, 2, S, L] have more than `entries` effects above `above`, whatever their sign."""
    return np.array([np.count_nonzero(np.abs(image) > above) > entries for image in effects], bool)


def ranked(values: Array) -> list[Move]:
    """All moves by their values [2, S], the largest first."""
    places = np.unravel_index(np.argsort(-values, axis=None, kind="stable"), values.shape)
    return [Move(d, c) for d, c in zip(*(axis.tolist() for axis in places), strict=True)]


def greedy(gains: Array, threshold: float, top: int, accept: Accept) -> StrategyResult:
    """Algorithm 1: again and again the move with the largest mean gain over the images that were moved by less than `threshold`.

    A move that is not accepted is passed over and moves no image.
    """
    left, total = gains.copy(), np.zeros(len(gains))
    found: list[Move] = []
    while len(found) < top:
        still = total < np.float32(threshold)
        if not still.any():
            return StrategyResult(found, f"every image is moved by {threshold:g} already; a larger threshold finds more")
        means = left[still].mean(0)
        move = Move(*map(int, np.unravel_index(means.argmax(), means.shape)))
        if means[move] <= 0:
            return StrategyResult(found, f"no other coordinate moves the images that are not yet moved by {threshold:g}")
        if accept(move):
            found.append(move)
            total += left[:, move.direction, move.coordinate]
        left[:, move.direction, move.coordinate] = 0
    return StrategyResult(found)


def by_images(gains: Array, effect: float, fraction: float, top: int, accept: Accept) -> StrategyResult:
    """Moves by how many images they move by more than `effect`, until fewer than `fraction` of the images."""
    counts = (gains > np.float32(effect)).sum(0)
    found: list[Move] = []
    for move in ranked(counts):
        if len(found) == top:
            break
        if counts[move] == 0 or counts[move] / len(gains) < fraction:
            return StrategyResult(found, f"every other coordinate moves fewer than {fraction:.0%} of the images by more than {effect:g}")
        if accept(move):
            found.append(move)
    return StrategyResult(found, "" if len(found) == top else "there are no other coordinates")


def each_alone(gains: Array, top: int, accept: Accept) -> StrategyResult:
    """One image's moves (gains [1, 2, S]) with the largest gains, each by itself."""
    found: list[Move] = []
    for move in ranked(gains[0]):
        if len(found) == top:
            break
        if gains[0][move] <= 0:
            return StrategyResult(found, "no other coordinate moves the image")
        if accept(move):
            found.append(move)
    return StrategyResult(found, "" if len(found) == top else "there are no other coordinates")


# the logits [B, L] of one image under each of B sets of moves
LogitsOfMoves = Callable[[list[list[Move]]], Array]


def additive(effects: Array, base: Array) -> LogitsOfMoves:
    """The logits of sets of moves as if their effects [2, S, L] added to `base` [L]: an estimate without the networks."""
    return lambda sets: np.stack([base + sum(effects[move].astype(np.float64) for move in moves) for moves in sets])


def subset(gains: Array, logits: LogitsOfMoves, base: Array, target: int, top: int, candidates: int, accept: Accept) -> StrategyResult:
    """Moves that together bring one image (gains [1, 2, S], logits `base` [L]) to `target`.

    At each step the `candidates` moves with the largest gains alone, of coordinates that are not yet moved, are tried with what is
    chosen; the one after which the target's logit is largest joins, until the label flips.
    """
    order = [move for move in ranked(gains[0]) if gains[0][move] > 0]
    found: list[Move] = []
    reached = float(base[target])
    while len(found) < top:
        taken = {move.coordinate for move in found}
        tried = list(islice((move for move in order if move.coordinate not in taken and accept(move)), candidates))
        if not tried:
            return StrategyResult(found, "no other coordinate moves the image, and its label has not flipped")
        answers = logits([[*found, move] for move in tried])
        best = int(answers[:, target].argmax())
        if answers[best, target] <= reached:
            return StrategyResult(found, "no other coordinate helps together with these, and the image's label has not flipped")
        found.append(tried[best])
        reached = float(answers[best, target])
        if int(answers[best].argmax()) == target:
            return StrategyResult(found)
    return StrategyResult(found, f"the image's label has not flipped after {top}")
