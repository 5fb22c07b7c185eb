"""The selections of Lang et al. 2021, section 3.3, on plain arrays.

`gains` [n, 2 S] is what each image gains towards the target class, max(0, effect), directions and coordinates flattened: entry d * S + s.
Each strategy answers with entries in its order, and why it stopped where it found fewer than were asked for. Ties go to the
smaller entry. Sums are float64, so that equal effects stay equal; bounds are float32 as the effects are, so that 0.2 is not over 0.2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import numpy as np

from stylexport.common.types import Array

Accept = Callable[[int], bool]


class Picked(NamedTuple):
    """Entries in their order, and why there are no more ("" where all that were asked for are there)."""

    entries: list[int]
    stopped: str = ""


def gains_towards(effects: Array, target: int) -> Array:
    """The gains [n, 2 S] float64 of effects [n, 2, S, L]."""
    return np.maximum(0.0, effects[..., target].reshape(len(effects), -1).astype(np.float64))


def unstable(effects: Array, above: float, entries: int) -> Array:
    """Which images [n] of effects [n, 2, S, L] have more than `entries` effects above `above`, whatever their sign."""
    return np.array([np.count_nonzero(np.abs(image) > above) > entries for image in effects], bool)


def greedy(gains: Array, threshold: float, top: int, accept: Accept) -> Picked:
    """Algorithm 1: again and again the entry with the largest mean gain over the images that were moved by less than `threshold`.

    An entry that is not accepted is passed over and moves no image.
    """
    left, moved = gains.copy(), np.zeros(len(gains))
    found: list[int] = []
    while len(found) < top:
        still = moved < np.float32(threshold)
        if not still.any():
            return Picked(found, f"every image is moved by {threshold:g} already; a larger threshold finds more")
        means = left[still].mean(0)
        entry = int(means.argmax())
        if means[entry] <= 0:
            return Picked(found, f"no other coordinate moves the images that are not yet moved by {threshold:g}")
        if accept(entry):
            found.append(entry)
            moved += left[:, entry]
        left[:, entry] = 0
    return Picked(found)


def by_images(gains: Array, effect: float, fraction: float, top: int, accept: Accept) -> Picked:
    """Entries by how many images they move by more than `effect`, until fewer than `fraction` of the images."""
    counts = (gains > np.float32(effect)).sum(0)
    found: list[int] = []
    for entry in np.argsort(-counts, kind="stable").tolist():
        if len(found) == top:
            break
        if counts[entry] == 0 or counts[entry] / len(gains) < fraction:
            return Picked(found, f"every other coordinate moves fewer than {fraction:.0%} of the images by more than {effect:g}")
        if accept(entry):
            found.append(entry)
    return Picked(found) if len(found) == top else Picked(found, "there are no other coordinates")


def each_alone(gains: Array, top: int, accept: Accept) -> Picked:
    """One image's entries (gains [1, 2 S]) with the largest gains, each by itself."""
    found: list[int] = []
    for entry in np.argsort(-gains[0], kind="stable").tolist():
        if len(found) == top:
            break
        if gains[0, entry] <= 0:
            return Picked(found, "no other coordinate moves the image")
        if accept(entry):
            found.append(entry)
    return Picked(found) if len(found) == top else Picked(found, "there are no other coordinates")


# the logits [B, L] of one image under each of B sets of changes, a change being an entry
Logits = Callable[[list[list[int]]], Array]


def additive(effects: Array, base: Array) -> Logits:
    """The logits of sets of changes as if their effects [2, S, L] added to `base` [L]: what can be said without the networks."""
    rows = effects.reshape(-1, effects.shape[-1]).astype(np.float64)
    return lambda changes: np.stack([base + rows[entries].sum(0) for entries in changes])


def subset(gains: Array, logits: Logits, base: Array, target: int, top: int, candidates: int, accept: Accept) -> Picked:
    """Entries that together turn one image (gains [1, 2 S], logits `base` [L]) to `target`.

    At each step the `candidates` entries with the largest gains alone, of coordinates that are not yet moved, are tried with what is
    chosen; the one after which the target's logit is largest joins, until the label flips.
    """
    size = gains.shape[1] // 2
    order = [entry for entry in np.argsort(-gains[0], kind="stable").tolist() if gains[0, entry] > 0]
    found: list[int] = []
    reached = float(base[target])
    while len(found) < top:
        taken = {entry % size for entry in found}
        tried = list(islice((entry for entry in order if entry % size not in taken and accept(entry)), candidates))
        if not tried:
            return Picked(found, "no other coordinate moves the image, and its label has not flipped")
        answers = logits([[*found, entry] for entry in tried])
        best = int(answers[:, target].argmax())
        if answers[best, target] <= reached:
            return Picked(found, "no other coordinate helps together with these, and the image's label has not flipped")
        found.append(tried[best])
        reached = float(answers[best, target])
        if int(answers[best].argmax()) == target:
            return Picked(found)
    return Picked(found, f"the image's label has not flipped after {top}")
