"""Pooling written out for every rule of padding: TensorFlow's SAME, PyTorch's symmetric padding, ceil_mode, counted or uncounted zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from stylexport.parity.explain.formulas import same_zeros
from stylexport.parity.explain.spatial.borders import Pads, padded

WINDOWS, STRIDES = (2, 3, 4, 5), (1, 2, 3, 4)
RULES = {
    "valid": "without padding",
    "same": "with TensorFlow's SAME padding",
    "symmetric": "with the same padding on both sides",
    "ceil": "without padding and with ceil_mode",
    "symmetric_ceil": "with the same padding on both sides and ceil_mode",
    "same_lower": "with the larger half of its padding at the start",
}


@dataclass(frozen=True)
class Pooling:
    """`kind` (max, average), its window and stride, the `rule` of its padding, and what the border counts as.

    `border`: "nothing" (it is left out), or "zeros" (they are values as others are).
    """

    kind: str
    window: int
    stride: int
    rule: str
    border: str = "nothing"

    def __str__(self) -> str:
        zeros = ", its zeros counted" if self.border == "zeros" else ""
        return f"{self.kind} pooling {self.window} by stride {self.stride} {RULES[self.rule]}{zeros}"

    def size(self, size: Sequence[int]) -> tuple[int, ...]:
        """What comes out of a tensor with these spatial axes."""
        return tuple(self._axis(n)[0] for n in size)

    def __call__(self, x: Tensor) -> Tensor:
        """`x` [N, C, ...] pooled."""
        axes = [self._axis(n) for n in x.shape[2:]]
        pads: Pads = tuple((a, b) for _, a, b in axes)
        if self.kind == "max":
            return self._windows(_filled(x, pads, 0.0 if self.border == "zeros" else -math.inf)).amax(-1)
        total = self._windows(padded(x, pads)).sum(-1)
        counted = x.new_ones(1, 1, *x.shape[2:])
        if self.border == "zeros":  # PyTorch counts its padding, and not what ceil_mode adds
            counted = _filled(counted, tuple((a, min(a, b) if "ceil" in self.rule else b) for _, a, b in axes), 1.0)
            counted = padded(counted, tuple((0, max(b - a, 0) if "ceil" in self.rule else 0) for _, a, b in axes))
        else:
            counted = padded(counted, pads)
        return total / self._windows(counted).sum(-1)

    def _axis(self, size: int) -> tuple[int, int, int]:
        """How many windows an axis has, and how much is added before and behind (negative: left out)."""
        k, s = self.window, self.stride
        if self.rule.startswith("same"):
            out, (smaller, larger) = -(-size // s), same_zeros(size, k, s)
            return (out, smaller, larger) if self.rule == "same" else (out, larger, smaller)
        pad = k // 2 if "symmetric" in self.rule else 0
        windows = (size + 2 * pad - k) / s
        out = (math.ceil(windows) if "ceil" in self.rule else math.floor(windows)) + 1
        if "ceil" in self.rule and (out - 1) * s >= size + pad:
            out -= 1  # no window begins behind the input
        return out, pad, (out - 1) * s + k - size - pad

    def _windows(self, x: Tensor) -> Tensor:
        """[..., values of each window]."""
        axes = x.ndim - 2
        for axis in range(2, x.ndim):
            x = x.unfold(axis, self.window, self.stride)
        return x.flatten(-axes)


def poolings() -> Iterator[Pooling]:
    """All that are tried, the most usual first."""
    for kind in ("max", "average"):
        for window in WINDOWS:
            for stride in sorted(STRIDES, key=lambda s: (s != 2, s != window, s)):
                for rule in RULES:
                    for border in ("nothing",) if rule == "valid" or (kind == "max" and rule == "ceil") else ("nothing", "zeros"):
                        yield Pooling(kind, window, stride, rule, border)


def _filled(x: Tensor, pads: Pads, value: float) -> Tensor:
    whole = padded(x, pads)
    if value == 0.0:
        return whole
    inside = padded(x.new_ones(1, 1, *x.shape[2:]), pads)
    return whole.masked_fill(inside == 0, value)
