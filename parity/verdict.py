"""How far a tensor is from the original's, and what floating point allows (DESIGN, "Rules of the proof")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylexport.parity.result import CARRIED, FAULT, NUMERIC, PASS

EXACT = 1e-7  # of a layer alone, T64 against S64
UNIT = 2.0**-24  # half the spacing of float32 at 1: the least rounding floor, and what one rounded constant may do
TIMES_FLOOR, TIMES_FLOOR_SMALL, SMALL = 8.0, 16.0, 1000  # tensors of fewer elements than SMALL are less averaged
# The rounding unit of what a precision multiplies in.
UNITS = {"fp32": UNIT, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8}


@dataclass(frozen=True)
class Difference:
    """`error` is |x - S64| / |S64| in L2 norms, `max_abs` the largest |x - S64|, `snr_db` -20 log10(error). NaN where x has one."""

    error: float
    max_abs: float

    @property
    def snr_db(self) -> float:
        """The signal-to-noise ratio in decibels; infinite where nothing differs."""
        return -20 * math.log10(self.error) if self.error > 0 else math.inf if self.error == 0 else math.nan


def difference(found: Tensor, exact: Tensor) -> Difference:
    """`found` (any dtype) against `exact` (float64), of one shape."""
    delta = found.to(torch.float64) - exact
    size = float(torch.linalg.vector_norm(exact))
    distance = float(torch.linalg.vector_norm(delta))
    largest = float(delta.abs().max()) if delta.numel() else 0.0
    return Difference(distance / size if size else (0.0 if distance == 0 else math.inf), largest)


def allowed_ratio(elements: int) -> float:
    """How many times the floor a float32 error may be for a tensor of so many elements."""
    return TIMES_FLOOR_SMALL if elements < SMALL else TIMES_FLOOR


def allowed_in_chain(constants: int, floor: float) -> float:
    """What T64 may differ in the chain: 2^-24 for each rounded constant upstream, and what the original's own rounding grows to."""
    return max(EXACT + constants * UNIT, TIMES_FLOOR * floor)


def judge(alone: float, error64: float, ratio: float, allowed64: float, elements: int) -> str:
    """A layer's verdict. Every comparison is written so that NaN fails it."""
    if not alone <= EXACT:
        return FAULT
    if not error64 <= allowed64:
        return CARRIED
    return PASS if ratio <= allowed_ratio(elements) else NUMERIC


def arrangements(shape: Sequence[int], like: Sequence[int], layout: str) -> list[tuple[int, ...]]:
    """The orders of axes in which a tensor of the graph, `shape`, may be a port's output, `like` (batch axes aside, axes of one dropped).

    The graph's own `layout` decides where it is known and fits.
    """
    rank = len(shape)
    same = tuple(range(rank))
    channels_first = (0, rank - 1, *range(1, rank - 1)) if rank > 2 else same
    by_layout = {"NHWC": [channels_first], "NCHW": [same]}.get(layout, [])
    for orders in (by_layout, [same, channels_first] if rank > 2 else [same]):
        fitting = [order for order in orders if _bare([shape[i] for i in order[1:]]) == _bare(like[1:])]
        if fitting:
            return fitting
    return []


def arranged(value: Tensor, order: Sequence[int], like: Sequence[int]) -> Tensor:
    """`value` with its axes in `order`, in the shape of `like` (with its own number of rows)."""
    turned = value.permute(*order) if tuple(order) != tuple(range(value.ndim)) else value
    return turned.reshape(value.shape[0], *like[1:])


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
