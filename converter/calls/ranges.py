"""Which numbers an input is meant to hold, from what the graph does first to it (`input_uses`).

A graph that multiplies its input by 1/255 is fed with 0 to 255, one that takes rows of a table by it with the numbers of these rows.
Drawn anywhere else, its inputs would not show most mistakes of a port. Where the graph says nothing, nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stylexport.common.types import Array
from stylexport.converter.calls.input_uses import AFFINE, CLIP, COMPARED, NARROW, ROWS, TRUTH, Use, input_uses
from stylexport.converter.formats.savedmodel.functions import Function, Input

BYTE = 255.0
_NARROW_TYPES = ("uint8", "int8", "uint16", "int16")
_WHOLE_TYPES = (*_NARROW_TYPES, "int32", "int64", "uint32", "uint64")
_NEAR = 0.02  # conventions differ by as much: 1/255 and 1/256, 127.5 and 128
_PAST_CLIP = 0.1  # so much of a clip's width is drawn past each end, so that the clip is seen
_SCALES = {255.0: (0.0, 255.0), 127.5: (0.0, 255.0), 65535.0: (0.0, 65535.0), 32768.0: (-32768.0, 32767.0)}


@dataclass(frozen=True)
class Range:
    """What an input is drawn from: `low` to `high` for each element (arrays that fit a sample in the graph's own order of axes).

    `whole`: whole numbers only; `normal`: mostly in the middle, three standard deviations from end to end each way, as what a mean and
    a standard deviation say, else evenly. `only`: the graph cannot take others. `why` names the node of the graph and what it does.
    """

    low: Array
    high: Array
    why: str
    whole: bool = False
    normal: bool = False
    only: bool = False

    @property
    def words(self) -> str:
        """The numbers from end to end."""
        return f"{float(self.low.min()):g}..{float(self.high.max()):g}{' (whole numbers)' if self.whole else ''}"


def input_ranges(function: Function, read: Callable[[str], Array]) -> dict[str, Range]:
    """Input's name in the graph -> its range, for those of which the graph tells one. `read`: a variable's value by its checkpoint key."""
    uses = input_uses(function, read)
    found = {given.name: _range(given, uses.get(given.name, ())) for given in function.inputs}
    return {name: range_ for name, range_ in found.items() if range_ is not None}


def _range(given: Input, uses: Sequence[Use]) -> Range | None:
    """The first of what is known, the surest first."""
    if given.dtype == "bool":
        return Range(np.zeros(()), np.ones(()), "its data type is bool", whole=True)
    integers, by_kind = given.dtype in _WHOLE_TYPES, _by_kind(uses)
    for conclude in (_rows, _narrow_type, _truth, _clipped, _scaled, _narrowed, _compared):
        if (range_ := conclude(given, by_kind)) is not None:
            if not integers:
                return range_
            return replace(range_, low=np.ceil(range_.low), high=np.floor(range_.high), whole=True)
    return None


ByKind = Mapping[str, Sequence[Use]]


def _by_kind(uses: Sequence[Use]) -> ByKind:
    return {kind: [use for use in uses if use.kind == kind] for kind in (ROWS, AFFINE, CLIP, COMPARED, NARROW, TRUTH)}


def _solved(use: Use) -> tuple[float, float] | None:
    """The x for which `scale` * x + `shift` lies within the use's own ends; None where each element has other ones."""
    if use.scale.size > 1 or use.shift.size > 1:
        return None
    ends = sorted((end - float(use.shift.flat[0])) / float(use.scale.flat[0]) for end in (use.low, use.high))
    return ends[0], ends[1]


def _rows(given: Input, uses: ByKind) -> Range | None:
    """Rows of tables: those that all of them have."""
    ends = [(use, found) for use in uses[ROWS] if (found := _solved(use)) is not None]
    if not ends:
        return None
    low, (use, (_, high)) = max(found[0] for _, found in ends), min(ends, key=lambda pair: pair[1][1])
    if high < low:
        return None
    whole = all(abs(float(use.scale.flat[0])) == 1 for use, _ in ends)
    return replace(_flat(low, high, f"{use.node} takes one of {int(use.high) + 1} rows by it", whole), only=True)


def _narrow_type(given: Input, uses: ByKind) -> Range | None:
    if given.dtype not in _NARROW_TYPES:
        return None
    limits = np.iinfo(given.dtype)
    return _flat(float(limits.min), float(limits.max), f"its data type is {given.dtype}", True)


def _truth(given: Input, uses: ByKind) -> Range | None:
    """An integer that becomes a boolean."""
    return _flat(0, 1, f"{uses[TRUTH][0].node} makes a boolean of it", True) if uses[TRUTH] and given.dtype in _WHOLE_TYPES else None


def _clipped(given: Input, uses: ByKind) -> Range | None:
    """Both ends of a clip, and a little past them; of two operations where one cuts each end."""
    ends = [found for use in uses[CLIP] if (found := _solved(use)) is not None]
    lows = [low for low, _ in ends if np.isfinite(low)]
    highs = [high for _, high in ends if np.isfinite(high)]
    if not lows or not highs or max(lows) >= min(highs):
        return None
    low, high = max(lows), min(highs)
    past = _PAST_CLIP * (high - low)
    return _flat(low - past, high + past, f"{uses[CLIP][0].node} cuts it to {low:g}..{high:g}")


def _scaled(given: Input, uses: ByKind) -> Range | None:
    """The first scaling that says which numbers it is made for."""
    is_image = given.shape is None or len(given.shape) == 4
    for use in uses[AFFINE]:
        if (found := _meant(use, is_image)) is not None:
            low, high, normal = found
            gives = np.concatenate([np.ravel(use.scale * end + use.shift) for end in (low, high)])
            why = f"{use.node} takes that to {gives.min():.3g}..{gives.max():.3g}"
            return Range(np.asarray(low, np.float64), np.asarray(high, np.float64), why, normal=normal)
    return None


def _narrowed(given: Input, uses: ByKind) -> Range | None:
    """What an integer of few bits can hold, that the graph makes of the input."""
    for use in uses[NARROW]:
        if (found := _solved(use)) is not None:
            return _flat(*found, f"{use.node} makes an integer from {use.low:g} to {use.high:g} of it")
    return None


def _compared(given: Input, uses: ByKind) -> Range | None:
    """Integers on both sides of the numbers that they are compared with."""
    ends = [(found[0], use) for use in uses[COMPARED] if (found := _solved(use)) is not None]
    if not ends or given.dtype not in _WHOLE_TYPES:
        return None
    values = [value for value, _ in ends]
    return _flat(min(0, *values), max(values) + 1, f"{ends[0][1].node} compares it with {ends[0][1].low:g}")


def _flat(low: float, high: float, why: str, whole: bool = False) -> Range:
    """One range for all elements."""
    return Range(np.asarray(float(low)), np.asarray(float(high)), why, whole)


Meant = tuple[Array | float, Array | float, bool]  # low, high, whether it is a mean and standard deviations


def _meant(use: Use, is_image: bool) -> Meant | None:
    """The range that a scaling y = a x + b is made for; None where it says too little.

    Known conventions first (0 to 255 or 0 to 1 to [0, 1], [-1, 1] or about zero); then a mean with three standard deviations.
    """
    scale, shift = np.broadcast_arrays(use.scale, use.shift)
    centre, width = -shift / scale, 1 / np.abs(scale)
    if not shift.any():
        return _only_scaled(width, is_image)
    if (scale < 0).all():  # 255 - x, 1 - x
        return (0.0, float(centre.max()), False) if (centre > 0).all() else None
    if (scale < 0).any():
        return None
    if _near(scale, 1):
        return _mean_taken(centre, is_image)
    if _near(centre, 1) and (scale >= 1000).all():  # (x - 1) * 10000, as a mask goes into attention
        return 0.0, 1.0, False
    one = float(centre.flat[0])
    if one > 0 and _near(centre, one) and (_near(width, one) or _near(width, 2 * one)):
        return 0.0, _rounded(2 * one), False
    if _near(centre, -1):
        return -1.0, 1.0, False
    if is_image:
        for top in (1.0, BYTE):
            if (centre > 0.02 * top).all() and (centre < 0.98 * top).all() and (width < 0.7 * top).all():
                return 0.0, top, False
    usual = (np.abs(centre) < 0.1).all() and (np.abs(width - 1) < 0.1).all()
    return None if usual else (centre - 3 * width, centre + 3 * width, True)


def _only_scaled(width: Array, is_image: bool) -> Meant | None:
    """Y = x / width. A factor near one is the gain of some layer rather than a preprocessing."""
    one = float(width.max())
    if not _near(width, one):
        return None
    for known, (low, high) in _SCALES.items():
        if _near(width, known):
            return low, high, False
    if one <= 1 / 16:
        return 0.0, 1.0, False
    return (0.0, one, False) if one >= (1.5 if is_image else 16) else None


def _mean_taken(centre: Array, is_image: bool) -> Meant | None:
    """Y = x - centre."""
    middle = float(centre.mean())
    if is_image:
        return next(((0.0, top, False) for top in (1.0, BYTE) if 0.1 * top <= middle <= 0.9 * top), None)
    return (centre - 1, centre + 1, False) if (np.abs(centre) > 1).any() else None


def _near(values: Array, one: float) -> bool:
    return bool((np.abs(values - one) <= _NEAR * abs(one)).all())


def _rounded(top: float) -> float:
    """The end of a known range that is near."""
    return next((end for end in (1.0, BYTE, 65535.0) if abs(top - end) <= _NEAR * end), top)
