"""What operations of TensorFlow are defined to compute, in plain numpy and float64: the judge of every kernel, TensorFlow's own included.

Maps are channels last, [N, ..., C], over any number of axes; kernels [..., in, out]. Source: the documentation of tf.nn and tf.raw_ops, and
tensorflow.org/api_docs/python/tf/nn, "Notes on padding".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from stylexport.common.types import Array

Padding = str | Sequence[tuple[int, int]]


def pads(size: int, window: int, stride: int, padding: Padding, axis: int) -> tuple[int, int]:
    """What is put before and behind an axis: SAME keeps ceil(size / stride) outputs and puts the odd element behind."""
    if padding == "VALID":
        return 0, 0
    if padding != "SAME":
        before, behind = padding[axis]
        return int(before), int(behind)
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def windows(
    x: Array, window: Sequence[int], strides: Sequence[int], padding: Padding, dilations: Sequence[int], fill: float = 0.0
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """For each place in a window: that place, and the value there for every output [N, ..., C]."""
    spread = [(k - 1) * d + 1 for k, d in zip(window, dilations, strict=True)]
    around = [pads(x.shape[i + 1], k, s, padding, i) for i, (k, s) in enumerate(zip(spread, strides, strict=True))]
    wide = np.pad(x.astype(np.float64), [(0, 0), *around, (0, 0)], constant_values=fill)
    counts = [(wide.shape[i + 1] - k) // s + 1 for i, (k, s) in enumerate(zip(spread, strides, strict=True))]
    for place in product(*map(range, window)):
        starts = [p * d for p, d in zip(place, dilations, strict=True)]
        taken = [slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, strides, counts, strict=True)]
        yield place, wide[(slice(None), *taken, slice(None))]


def convolution(x: Array, kernel: Array, strides: Sequence[int], padding: Padding = "SAME", dilations: Sequence[int] = ()) -> Array:
    """y[n, i, o] = sum over k, c of x[n, i s + k d, c] kernel[k, c, o]; in groups where the kernel has fewer inputs than x."""
    groups = x.shape[-1] // kernel.shape[-2]
    total: Any = 0.0
    for place, value in windows(x, kernel.shape[:-2], strides, padding, dilations or [1] * len(strides)):
        parts = zip(np.split(value, groups, axis=-1), np.split(kernel[place].astype(np.float64), groups, axis=-1), strict=True)
        total = total + np.concatenate([part @ weights for part, weights in parts], axis=-1)
    return np.asarray(total)


def depthwise_convolution(
    x: Array, kernel: Array, strides: Sequence[int], padding: Padding = "SAME", dilations: Sequence[int] = ()
) -> Array:
    """y[n, i, c m + q] = sum over k of x[n, i s + k d, c] kernel[k, c, q], m outputs a channel."""
    total: Any = 0.0
    for place, value in windows(x, kernel.shape[:-2], strides, padding, dilations or [1] * len(strides)):
        total = total + value[..., None] * kernel[place].astype(np.float64)
    return np.asarray(total).reshape(*total.shape[:-2], -1)


def transposed_convolution(y: Array, kernel: Array, size: Sequence[int], strides: Sequence[int]) -> Array:
    """The adjoint of SAME convolution: x[n, i s + k - before, c] gets y[n, i, o] kernel[k, c, o]; `size` is that of x."""
    around = [pads(n, k, s, "SAME", i) for i, (n, k, s) in enumerate(zip(size, kernel.shape, strides, strict=False))]
    wide = np.zeros((y.shape[0], *(n + sum(around[i]) for i, n in enumerate(size)), kernel.shape[-2]))
    for place in product(*map(range, kernel.shape[:-2])):
        taken = [slice(p, p + s * (n - 1) + 1, s) for p, s, n in zip(place, strides, y.shape[1:-1], strict=True)]
        wide[(slice(None), *taken)] += y.astype(np.float64) @ kernel[place].astype(np.float64).T
    return wide[(slice(None), *(slice(before, before + n) for (before, _), n in zip(around, size, strict=True)))]


def largest(x: Array, window: Sequence[int], strides: Sequence[int], padding: Padding = "SAME") -> Array:
    """The largest element of each window; what is put around never counts."""
    return np.max([value for _, value in windows(x, window, strides, padding, [1] * len(window), -np.inf)], axis=0)


def mean(x: Array, window: Sequence[int], strides: Sequence[int], padding: Padding = "SAME") -> Array:
    """The mean of the elements of each window that lie in x."""
    ones = [1] * len(window)
    total = sum(value for _, value in windows(x, window, strides, padding, ones))
    return np.asarray(total / sum(value for _, value in windows(np.ones_like(x), window, strides, padding, ones)))


def space_to_depth(x: Array, block: int) -> Array:
    """y[n, i, j, (di block + dj) C + c] = x[n, i block + di, j block + dj, c]."""
    n, height, width, c = x.shape
    blocks = x.reshape(n, height // block, block, width // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(n, height // block, width // block, block * block * c)


def bilinear(x: Array, size: Sequence[int], *, align_corners: bool = False, half_pixel_centers: bool = False) -> Array:
    """[N, H, W, C] at other places: interpolated between neighbours along rows, then along columns; beyond the border, the border."""
    y = x.astype(np.float64)
    for axis, after in enumerate(size, start=1):
        before = x.shape[axis]
        scale = (before - 1) / (after - 1) if align_corners and after > 1 else before / after
        half = 0.5 if half_pixel_centers else 0.0
        at = np.clip((np.arange(after) + half) * scale - half, 0, before - 1)
        y = np.apply_along_axis(lambda row, at=at, before=before: np.interp(at, np.arange(before), row), axis, y)
    return y
