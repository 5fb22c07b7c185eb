"""Two runs of the same coordinates: do they rank them alike, do the first K agree, where do single effects differ most.

A row of the comparison is a target class and a direction; coordinates are ranked by their mean gain, max(0, effect) on the target's
logit, over the measured images of other classes: the mean that the selections begin with.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.select.strategies import gains_towards
from stylexport.common.errors import BadInput
from stylexport.common.types import Array

SAME_LATENTS = 1e-4  # of the latents' spread: rounding, not another image


@dataclass(frozen=True)
class Row:
    """A target class and a direction.

    `spearman` and `kendall` (tau b) correlate all coordinates' mean gains; None where a run has no images of other classes or all its
    gains are equal. `shared` are the coordinates among both runs' first K, `overlap` their share of K (of the longer list, where
    fewer than K coordinates gain anything); None where neither run has any.
    """

    target: int
    label: str
    direction: int
    spearman: float | None
    kendall: float | None
    shared: tuple[int, ...]
    overlap: float | None


@dataclass(frozen=True)
class Difference:
    """One effect in both runs, and where it is."""

    image: int
    direction: int
    coordinate: int
    layer: str
    channel: int
    label: int
    first: float
    second: float

    @property
    def size(self) -> float:
        """How far apart the two are, in logits."""
        return abs(self.first - self.second)


@dataclass(frozen=True)
class Comparison:
    """Of two runs: `top` is K, `rows` are by class and direction.

    `differences`, the largest first (none where all effects are equal), and `relative`, the largest as a share of the logits' spread,
    are None where the runs are not of the same images, which `remarks` then say.
    """

    top: int
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...] | None
    relative: float | None
    remarks: tuple[str, ...]

    @property
    def least_overlap(self) -> float | None:
        """The smallest overlap of all rows; None where there is none."""
        return min((row.overlap for row in self.rows if row.overlap is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """For a program."""
        return {**asdict(self), "least_overlap": self.least_overlap}


def compare(first: Effects, second: Effects, *, top: int = 10, places: int = 10) -> Comparison:
    """Compares two runs. Raises BadInput where they differ in their coordinates or labels.

    `top` is K; the `places` largest differences are given.

    Example:
        >>> from dataclasses import replace
        >>> generator, zeros = np.random.default_rng(0), np.zeros((3, 4), np.float32)
        >>> base = np.eye(2, dtype=np.float32)[[0, 1, 1]]
        >>> run = Effects(generator.normal(size=(3, 2, 4, 2)), base, zeros, zeros, zeros[0], zeros[0], np.ones(3, bool))
        >>> compare(run, replace(run, effects=2 * run.effects), top=2).least_overlap
        1.0

    """
    if first.effects.shape[1:] != second.effects.shape[1:]:
        (_, _, size, labels), (_, _, other_size, other_labels) = first.effects.shape, second.effects.shape
        raise BadInput(
            f"one run has {size:,} coordinates and {labels} labels, the other {other_size:,} and {other_labels}: not one model's"
        )
    if not all(np.isfinite(run.effects).all() for run in (first, second)):
        raise BadInput("a run holds effects that are not finite; measure them in a higher precision")
    differences, relative, remark = _differences(first, second, places)
    rows = [row for target in range(first.effects.shape[3]) for row in _rows(first, second, target, top)]
    searches = {str(run.about.get("search", "exhaustive")) for run in (first, second)}
    notes = [] if searches == {"exhaustive"} else ["a run's search was screened: what it did not measure counts as zero"]
    return Comparison(top, tuple(rows), differences, relative, (*notes, *([remark] if remark else [])))


def _rows(first: Effects, second: Effects, target: int, top: int) -> list[Row]:
    means = [_means(run, target) for run in (first, second)]
    rows = []
    for direction in (0, 1):
        one, other = (mean[direction] for mean in means)
        lists = [_leading(mean, top) for mean in (one, other)]
        shared = tuple(coordinate for coordinate in lists[0] if coordinate in lists[1])
        longer = max(map(len, lists))
        overlap = len(shared) / longer if longer else None
        rows.append(Row(target, first.label(target), direction, *_correlations(one, other), shared, overlap))
    return rows


def _means(run: Effects, target: int) -> Array:
    """The mean gain [2, S] of each move over the measured images of other classes; NaN where there are none."""
    images = run.done & (run.classes != target)
    size = run.effects.shape[2]
    if not images.any():
        return np.full((2, size), np.nan)
    found: Array = gains_towards(run.effects[images], target).mean(0)
    return found


def _leading(mean: Array, top: int) -> list[int]:
    """The coordinates with the `top` largest means above zero."""
    order = np.argsort(-mean, kind="stable")[:top]
    return [int(c) for c in order if mean[c] > 0]


def _correlations(one: Array, other: Array) -> tuple[float | None, float | None]:
    """Spearman's and Kendall's, None where they are not defined."""
    if any(np.isnan(mean).any() or np.ptp(mean) == 0 for mean in (one, other)):
        return None, None
    try:
        from scipy import stats
    except ImportError as error:
        raise BadInput("rank correlations need SciPy; pip install 'stylexport[attfind]'") from error
    found = [float(measure(one, other).statistic) for measure in (stats.spearmanr, stats.kendalltau)]
    spearman, kendall = (None if math.isnan(value) else value for value in found)
    return spearman, kendall


def _differences(first: Effects, second: Effects, places: int) -> tuple[tuple[Difference, ...] | None, float | None, str]:
    """The largest differences, the largest as a share of the logits' spread, and why there are none."""
    if len(first.done) != len(second.done) or first.latents.shape != second.latents.shape:
        return None, None, f"the runs have {len(first.done)} and {len(second.done)} images: single effects are not compared"
    spread = float(np.ptp(first.latents)) or 1.0
    if np.abs(first.latents - second.latents).max() > SAME_LATENTS * spread:
        return None, None, "the runs' latents differ: their images are others, and single effects are not compared"
    both = np.flatnonzero(first.done & second.done)
    if not len(both):
        return None, None, "no image is measured in both runs"
    sizes = np.stack([np.abs(first.effects[i] - second.effects[i]) for i in both])  # [n, 2, S, L]
    flat = sizes.ravel()
    best = np.argpartition(-flat, min(places, flat.size) - 1)[:places]
    best = best[np.lexsort((best, -flat[best]))]
    found = []
    for row, direction, coordinate, label in zip(*np.unravel_index(best[flat[best] > 0], sizes.shape), strict=True):
        at = (int(both[row]), int(direction), int(coordinate), int(label))
        layer, channel = (first if first.layers else second).where(at[2])
        found.append(Difference(*at[:3], layer, channel, at[3], float(first.effects[at]), float(second.effects[at])))
    return tuple(found), float(flat.max()) / (float(np.ptp(first.base_logits)) or 1.0), ""
