"""Layouts of sequence layers: the gates of LSTM and GRU, the heads of an attention.

The gates of a recurrent layer lie side by side in one variable, in an order of each framework's own:

    Keras LSTM                          i, f, c, o       nn.LSTM    i, f, g, o (g is what Keras calls c)
    BasicLSTMCell, LSTMBlockCell (TF1)  i, j, f, o       nn.LSTM    i, f, g, o (g is what TensorFlow 1 calls j)
    Keras GRU                           z, r, h          nn.GRU     r, z, n    (n is what Keras calls h)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stylexport.common.types import Array
from stylexport.converter.mapping.layouts import Layout, Shape


@dataclass(frozen=True)
class Gates(Layout):
    """The gates in another order: kernel [in, gates h] to [gates h, in], bias [gates h] to [gates h].

    `order` names, for each gate of PyTorch, its place in TensorFlow: (1, 0, 2) takes the second first.
    """

    order: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def name(self) -> str:
        """With its order: "gates [0, 2, 1, 3]"."""
        return f"{GATES} {list(self.order)}"

    def shape(self, tf: Shape) -> Shape:
        """[in, gates h] -> [gates h, in]; a bias keeps its shape."""
        if len(tf) not in (1, 2) or tf[-1] % len(self.order):
            raise ValueError(f"{self.name} needs 1 or 2 axes, the last a multiple of {len(self.order)}, not {list(tf)}")
        return tf[::-1]

    def forward(self, array: Array) -> Array:
        """The gates in PyTorch's order, outputs first."""
        cut = array.reshape(*array.shape[:-1], len(self.order), -1)
        return np.ascontiguousarray(cut[..., list(self.order), :].reshape(array.shape).T)

    def inverse(self, array: Array, tf: Shape) -> Array:
        """The gates in TensorFlow's order, outputs last."""
        cut = array.T.reshape(*tf[:-1], len(self.order), -1)
        return np.ascontiguousarray(cut[..., np.argsort(self.order), :]).reshape(tf)


@dataclass(frozen=True)
class KerasGru(Gates):
    """Keras's GRU to nn.GRU, which exists for `reset_after=True` alone."""

    order: tuple[int, ...] = (1, 0, 2)

    def check_whole(self, variable: Shape) -> None:
        """Raises ValueError for a single bias: that of a GRU with `reset_after=False`."""
        if len(variable) == 1:
            raise ValueError(
                f"a bias {list(variable)} is that of a GRU with reset_after=False, which applies the reset gate before the recurrent "
                "product; nn.GRU applies it after the product and cannot compute this layer: write a cell of your own and give its "
                "tensors the layouts dense and identity"
            )


@dataclass(frozen=True)
class Heads(Layout):
    """Kernel of a query, key or value, [in, heads, k], to a linear layer's [heads k, in]."""

    title: ClassVar[str] = "heads [in, heads, k] -> [heads k, in]"

    def shape(self, tf: Shape) -> Shape:
        """[in, heads, k] -> [heads * k, in]."""
        self._check(tf, 3)
        return tf[1] * tf[2], tf[0]

    def forward(self, array: Array) -> Array:
        """[in, heads, k] -> [heads * k, in]."""
        return np.ascontiguousarray(array.reshape(array.shape[0], -1).T)

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[heads * k, in] -> [in, heads, k]."""
        return np.ascontiguousarray(array.T).reshape(tf)

    def _check(self, tf: Shape, rank: int) -> None:
        if len(tf) != rank:
            raise ValueError(f"{self.name} needs {rank} axes, not {list(tf)}")


@dataclass(frozen=True)
class HeadsBias(Heads):
    """Bias of a query, key or value, [heads, k], to a linear layer's [heads k]."""

    title: ClassVar[str] = "heads [heads, k] -> [heads k]"

    def shape(self, tf: Shape) -> Shape:
        """[heads, k] -> [heads * k]."""
        self._check(tf, 2)
        return (math.prod(tf),)

    def forward(self, array: Array) -> Array:
        """[heads, k] -> [heads * k]."""
        return np.ascontiguousarray(array).reshape(-1)

    def inverse(self, array: Array, tf: Shape) -> Array:
        """[heads * k] -> [heads, k]."""
        return np.ascontiguousarray(array).reshape(tf)


@dataclass(frozen=True)
class HeadsOut(Heads):
    """Kernel of an attention's output, [heads, k, out], to a linear layer's [out, heads k]."""

    title: ClassVar[str] = "heads [heads, k, out] -> [out, heads k]"

    def shape(self, tf: Shape) -> Shape:
        """[heads, k, out] -> [out, heads * k]."""
        self._check(tf, 3)
        return tf[2], tf[0] * tf[1]

    def forward(self, array: Array) -> Array:
        """[heads, k, out] -> [out, heads * k]."""
        return np.ascontiguousarray(array.reshape(-1, array.shape[2]).T)


GATES = "gates"
