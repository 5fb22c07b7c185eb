"""Resizing written out: each axis is one matrix, from a kernel and a rule for where an output's pixel lies in the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor


@dataclass(frozen=True)
class Resizing:
    """`kernel` (nearest, linear, cubic), `corners` (half_pixel, align, start), and the cubic's `sharpness`."""

    kernel: str
    corners: str
    sharpness: float = -0.75

    def __str__(self) -> str:
        cubic = f" (a = {self.sharpness:g})" if self.kernel == "cubic" else ""
        return f"{KERNELS[self.kernel]}{cubic}, {CORNERS[self.corners][0]}"

    def __call__(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """`x` [N, C, ...] resized to `size`."""
        for axis, out in enumerate(size, 2):
            if x.shape[axis] != out:
                matrix = self._matrix(x.shape[axis], out).to(x)
                x = (x.movedim(axis, -1) @ matrix.t()).movedim(-1, axis)
        return x

    def _matrix(self, size: int, out: int) -> Tensor:
        """[out, size]: what each output takes of each input."""
        places = torch.arange(out, dtype=torch.float64)
        at = CORNERS[self.corners][1](places, size, out)
        matrix = torch.zeros(out, size, dtype=torch.float64)
        if self.kernel == "nearest":
            nearest = at.floor() if self.corners == "start" else (at + 0.5).floor()
            matrix[torch.arange(out), nearest.long().clamp(0, size - 1)] = 1
            return matrix
        weigh = _linear if self.kernel == "linear" else partial(_cubic, sharpness=self.sharpness)
        for tap in range(-1, 3):
            index = at.floor().long() + tap
            weight = weigh((at - index).abs())
            inside = (index >= 0) & (index < size)
            if self.sharpness == KEYS and self.kernel == "cubic":
                weight = weight * inside  # TensorFlow leaves out what lies outside, and scales the rest up
            matrix.index_put_((torch.arange(out), index.clamp(0, size - 1)), weight, accumulate=True)
        return matrix / matrix.sum(1, keepdim=True)


KEYS = -0.5  # the sharpness of TensorFlow's cubic kernel (Keys 1981); PyTorch's is -0.75
KERNELS = {"nearest": "the nearest pixel", "linear": "linear interpolation", "cubic": "cubic interpolation"}
Coordinates = Callable[[Tensor, int, int], Tensor]
CORNERS: dict[str, tuple[str, Coordinates]] = {
    "half_pixel": ("pixels as areas (align_corners=False)", lambda i, size, out: (i + 0.5) * size / out - 0.5),
    "align": ("corners on corners (align_corners=True)", lambda i, size, out: i * ((size - 1) / max(out - 1, 1))),
    "start": ("first pixel on first pixel (TensorFlow 1's half_pixel_centers=False)", lambda i, size, out: i * size / out),
}


def resizings() -> Iterator[Resizing]:
    """All of them, the most usual first."""
    for kernel in ("linear", "nearest", "cubic"):
        for corners in CORNERS:
            for sharpness in (KEYS, -0.75) if kernel == "cubic" else (-0.75,):
                yield Resizing(kernel, corners, sharpness)


def _linear(distance: Tensor) -> Tensor:
    return (1 - distance).clamp_min(0)


def _cubic(distance: Tensor, sharpness: float) -> Tensor:
    near = ((sharpness + 2) * distance - (sharpness + 3)) * distance**2 + 1
    far = sharpness * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


def scales(size: Sequence[int], out: Sequence[int]) -> bool:
    """Whether one size is another one resized: all axes by about the same factor, and not by one."""
    factors = [b / a for a, b in zip(size, out, strict=True)]
    return math.isclose(max(factors), min(factors), rel_tol=0.3) and any(a != b for a, b in zip(size, out, strict=True))
