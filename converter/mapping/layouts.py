"""Layouts: how the axes of a TensorFlow variable become those of a PyTorch tensor, and back.

Each is a small object with `forward`, its `inverse`, and `shape` (the PyTorch shape that a TensorFlow shape becomes). All are exact:
they move numbers and never compute with them, so that a round trip is bit-identical. (The "+1" of the styles stays in the network for
that reason: adding one to a float32 bias would round it.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stylexport.common.types import Array

_PIECE = 2**20  # bytes

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Base: the identity. `name` is what the ledger calls a layout."""

    title: ClassVar[str] = "as it is"

    @property
    def name(self) -> str:
        """The title, and what else `by_description` (layout_names.py) needs to build the same layout."""
        return self.title

    def shape(self, tf: Shape) -> Shape:
        """The PyTorch shape that the TensorFlow shape `tf` becomes. Raises ValueError where the layout does not apply."""
        return tf

    def check_whole(self, variable: Shape) -> None:
        """Raises ValueError where a whole variable of this shape shows that the layer is one that PyTorch's does not compute."""

    def forward(self, array: Array) -> Array:
        """TensorFlow's array in PyTorch's layout, contiguous."""
        return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray alone makes a scalar a vector

    def inverse(self, array: Array, tf: Shape) -> Array:
        """PyTorch's array in TensorFlow's layout, with the shape `tf`."""
        return np.ascontiguousarray(array).reshape(tf)

    def pieces(self, array: Array) -> Iterator[Array]:
        """`forward` in pieces along PyTorch's first axis, small enough to stay in the processor's cache on their way to the file."""
        yield self.forward(array)


@dataclass(frozen=True)
class _ByOutput(Layout):
    """Base of the layouts that put TensorFlow's last axis, the outputs, first."""

    def pieces(self, array: Array) -> Iterator[Array]:
        """`forward` of a few outputs at a time."""
        step = max(1, _PIECE * array.shape[-1] // max(array.nbytes, 1))
        for start in range(0, array.shape[-1], step):
            yield self.forward(array[..., start : start + step])


@dataclass(frozen=True)
class Hwio(_ByOutput):
    """Convolution kernel [h, w, in, out] to [out, in, h, w]; `axes` are its spatial ones: W of a Conv1D, DHW of a Conv3D."""

    axes: str = "HW"

    @property
    def name(self) -> str:
        """With its axes: "HWIO -> OIHW"."""
        return f"{self.axes}IO -> OI{self.axes}"

    def shape(self, tf: Shape) -> Shape:
        """[h, w, in, out] -> [out, in, h, w]."""
        *spatial, i, o = self._checked(tf)
        return o, i, *spatial

    def forward(self, array: Array) -> Array:
        """In two steps, first taps last and then channels over: twice as fast as one strided copy."""
        *spatial, i, o = array.shape
        taps_last = np.ascontiguousarray(array.reshape(math.prod(spatial), i * o).T).reshape(i, o, -1)
        return np.ascontiguousarray(taps_last.transpose(1, 0, 2)).reshape(o, i, *spatial)

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[out, in, h, w] -> [h, w, in, out]."""
        return np.ascontiguousarray(array.transpose(*range(2, array.ndim), 1, 0)).reshape(tf)

    def _checked(self, tf: Shape) -> Shape:
        return _of_rank(tf, len(self.axes) + 2, self.name)


@dataclass(frozen=True)
class Hwoi(Hwio):
    """Kernel of Keras's Conv2DTranspose, [h, w, out, in], to that of nn.ConvTranspose2d, [in, out, h, w]; neither flips it."""

    @property
    def name(self) -> str:
        """With its axes: "HWOI -> IOHW"."""
        return f"{self.axes}OI -> IO{self.axes}"


@dataclass(frozen=True)
class HwioFlipped(Hwio):
    """Kernel of a transposed convolution, flipped in both axes (StyleGAN2's upsampling layer flips it when it runs)."""

    @property
    def name(self) -> str:
        """What ledgers have called it since the first version."""
        return "HWIO -> OIHW, turned round"

    def forward(self, array: Array) -> Array:
        """[h, w, in, out] -> [out, in, h, w] with both spatial axes reversed."""
        return super().forward(array[::-1, ::-1])

    def inverse(self, array: Array, tf: Shape) -> Array:
        """The same flip again."""
        return super().inverse(array[:, :, ::-1, ::-1], tf)


@dataclass(frozen=True)
class Depthwise(Layout):
    """Depthwise kernel [h, w, c, multiplier] to [c * multiplier, 1, h, w] (TensorFlow numbers outputs c * multiplier + m).

    `axes` are the spatial ones: W of a DepthwiseConv1D.
    """

    axes: str = "HW"

    @property
    def name(self) -> str:
        """With its axes: "depthwise HWCM -> (CM)1HW"."""
        return f"depthwise {self.axes}CM -> (CM)1{self.axes}"

    def shape(self, tf: Shape) -> Shape:
        """[h, w, c, m] -> [c * m, 1, h, w]."""
        *spatial, c, m = _of_rank(tf, len(self.axes) + 2, self.name)
        return c * m, 1, *spatial

    def forward(self, array: Array) -> Array:
        """[h, w, c, m] -> [c * m, 1, h, w]."""
        last = array.ndim - 2
        return np.ascontiguousarray(array.transpose(last, last + 1, *range(last))).reshape(self.shape(array.shape))

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[c * m, 1, h, w] -> [h, w, c, m]."""
        *spatial, c, m = tf
        return np.ascontiguousarray(array.reshape(c, m, *spatial).transpose(*range(2, len(tf)), 0, 1))


@dataclass(frozen=True)
class Transpose(_ByOutput):
    """Dense weight [in, out] to [out, in]."""

    title: ClassVar[str] = "dense [in, out] -> [out, in]"

    def shape(self, tf: Shape) -> Shape:
        """[in, out] -> [out, in]."""
        if len(tf) != 2:
            raise ValueError(f"{self.name} needs 2 axes, not {list(tf)}")
        return tf[1], tf[0]

    def forward(self, array: Array) -> Array:
        """[in, out] -> [out, in]."""
        return np.ascontiguousarray(array.T)

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[out, in] -> [in, out]."""
        return np.ascontiguousarray(array.T).reshape(tf)


@dataclass(frozen=True)
class DenseAsConv(Transpose):
    """Dense weight [in, out] to a 1x1 convolution's [out, in, 1, 1]."""

    title: ClassVar[str] = "dense [in, out] -> [out, in, 1, 1]"

    def shape(self, tf: Shape) -> Shape:
        """[in, out] -> [out, in, 1, 1]."""
        return (*super().shape(tf), 1, 1)

    def forward(self, array: Array) -> Array:
        """[in, out] -> [out, in, 1, 1]."""
        return super().forward(array)[:, :, None, None]

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[out, in, 1, 1] -> [in, out]."""
        return super().inverse(array[:, :, 0, 0], tf)


@dataclass(frozen=True)
class _OfMap(Layout):
    """Base of the layouts of a flattened map [height, width, channels], which PyTorch flattens as [channels, height, width]."""

    height: int = 4
    width: int = 4

    @property
    def name(self) -> str:
        """With the map's size: "dense [h w c, out] -> [out, c h w], map 4x6"."""
        return f"{self.title}, map {self.height}x{self.width}"

    def _check(self, tf: Shape, rank: int, flat: int) -> None:
        """Raises ValueError where `tf` has another rank, or its axis `flat` does not hold whole maps."""
        if len(tf) != rank or tf[flat] % (self.height * self.width):
            raise ValueError(f"{self.name} needs {rank} axes, number {flat} a multiple of {self.height * self.width}, not {list(tf)}")


@dataclass(frozen=True)
class DenseAfterHwc(_OfMap):
    """Dense weight behind a flattened [h, w, c] map to one behind a flattened [c, h, w] map."""

    title: ClassVar[str] = "dense [h w c, out] -> [out, c h w]"

    def shape(self, tf: Shape) -> Shape:
        """[h * w * c, out] -> [out, c * h * w]."""
        self._check(tf, 2, 0)
        return tf[1], tf[0]

    def forward(self, array: Array) -> Array:
        """[h * w * c, out] -> [out, c * h * w]."""
        hwc = array.reshape(self.height, self.width, -1, array.shape[1])
        return np.ascontiguousarray(hwc.transpose(3, 2, 0, 1)).reshape(self.shape(array.shape))

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[out, c * h * w] -> [h * w * c, out]."""
        chw = array.reshape(array.shape[0], -1, self.height, self.width)
        return np.ascontiguousarray(chw.transpose(2, 3, 1, 0)).reshape(tf)


@dataclass(frozen=True)
class DenseBeforeHwc(_OfMap):
    """Dense weight whose output is reshaped to an [h, w, c] map to one whose output is reshaped to [c, h, w]."""

    title: ClassVar[str] = "dense [in, h w c] -> [c h w, in]"

    def shape(self, tf: Shape) -> Shape:
        """[in, h * w * c] -> [c * h * w, in]."""
        self._check(tf, 2, 1)
        return tf[1], tf[0]

    def forward(self, array: Array) -> Array:
        """[in, h * w * c] -> [c * h * w, in]."""
        hwc = array.reshape(array.shape[0], self.height, self.width, -1)
        return np.ascontiguousarray(hwc.transpose(3, 1, 2, 0)).reshape(self.shape(array.shape))

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[c * h * w, in] -> [in, h * w * c]."""
        chw = array.reshape(-1, self.height, self.width, array.shape[1])
        return np.ascontiguousarray(chw.transpose(3, 1, 2, 0)).reshape(tf)


@dataclass(frozen=True)
class VectorHwc(_OfMap):
    """A bias that is reshaped to an [h, w, c] map with its layer's output, to one for [c, h, w]."""

    title: ClassVar[str] = "vector [h w c] -> [c h w]"

    def shape(self, tf: Shape) -> Shape:
        """[h * w * c] -> [c * h * w]."""
        self._check(tf, 1, 0)
        return tf

    def forward(self, array: Array) -> Array:
        """[h * w * c] -> [c * h * w]."""
        return np.ascontiguousarray(array.reshape(self.height, self.width, -1).transpose(2, 0, 1)).reshape(array.shape)

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[c * h * w] -> [h * w * c]."""
        return np.ascontiguousarray(array.reshape(-1, self.height, self.width).transpose(1, 2, 0)).reshape(tf)


@dataclass(frozen=True)
class Squeeze(Layout):
    """Axes of size one dropped ([1, C] or [1, C, 1, 1] to [C], [1] to a scalar), down to `rank` axes."""

    rank: int = 1
    title: ClassVar[str] = "axes of one dropped"

    def shape(self, tf: Shape) -> Shape:
        """`tf` without axes of one, the first dropped first, until `rank` are left."""
        kept = list(tf)
        while len(kept) > self.rank and 1 in kept:
            kept.remove(1)
        if len(kept) != self.rank:
            raise ValueError(f"{list(tf)} does not reduce to {self.rank} axes by dropping axes of one")
        return tuple(kept)

    def forward(self, array: Array) -> Array:
        """The same numbers, fewer axes."""
        return np.ascontiguousarray(array).reshape(self.shape(array.shape))


def _of_rank(shape: Shape, rank: int, name: str) -> Shape:
    if len(shape) != rank:
        raise ValueError(f"{name} needs {rank} axes, not {list(shape)}")
    return shape
