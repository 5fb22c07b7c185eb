"""Channels-first operations, which TensorFlow's CPU kernels refuse: run channels last, with a transpose before and after.

The transposes change no value and no order of summation that the operation promises, so it is the same function on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stylexport.reference_tf.replay.execute_op import Attributes, Tensor

Run = Callable[[str, Sequence[Tensor], Attributes], list[Tensor]]

LAST = {b"NCHW": b"NHWC", b"NCDHW": b"NDHWC"}


@dataclass(frozen=True)
class Operands:
    """Which inputs of an operation are maps, and which hold one number an axis. Of the outputs, the first is a map."""

    maps: tuple[int, ...] = (0,)
    sizes: tuple[int, ...] = ()


# BiasAdd and FusedBatchNorm are not here: their CPU kernels take both.
CHANNELS_FIRST: dict[str, Operands] = {
    "AvgPool": Operands(),
    "AvgPool3D": Operands(),
    "Conv2D": Operands(),
    "Conv2DBackpropInput": Operands(maps=(2,), sizes=(0,)),
    "Conv3D": Operands(),
    "Conv3DBackpropInputV2": Operands(maps=(2,), sizes=(0,)),
    "DepthToSpace": Operands(),
    "DepthwiseConv2dNative": Operands(),
    "DepthwiseConv2dNativeBackpropInput": Operands(maps=(2,), sizes=(0,)),
    "MaxPool": Operands(),
    "MaxPool3D": Operands(),
    "MaxPoolV2": Operands(sizes=(1, 2)),
    "SpaceToDepth": Operands(),
    "_FusedConv2D": Operands(),
    "_FusedDepthwiseConv2dNative": Operands(),
}
# Attributes with one number, or one pair, an axis.
_PER_AXIS = ("strides", "dilations", "ksize")
_PAIRS = "explicit_paddings"


def is_first(op: str, attrs: Attributes) -> bool:
    """Whether the operation works on channels-first maps and can be run channels last instead."""
    return op in CHANNELS_FIRST and attrs.get("data_format") in LAST


def run_channels_last(op: str, inputs: Sequence[Tensor], attrs: Attributes, run: Run) -> list[Tensor]:
    """The outputs of a channels-first operation by its channels-last form, which `run` computes."""
    operands, given = CHANNELS_FIRST[op], list(inputs)
    rank = given[operands.maps[0]].shape.rank
    for i in operands.maps:
        given[i] = channels_last(given[i])
    for i in operands.sizes:
        sizes = np.asarray(given[i]).tolist()
        given[i] = tf.constant(_channels_to_end(sizes, rank) if len(sizes) == rank else sizes, given[i].dtype)
    changed: Attributes = {**attrs, "data_format": LAST[attrs["data_format"]]}
    for name in _PER_AXIS:
        if len(attrs.get(name, ())) == rank:
            changed[name] = _channels_to_end(attrs[name], rank)
    if len(attrs.get(_PAIRS, ())) == 2 * rank:
        before, after = _channels_to_end(attrs[_PAIRS][::2], rank), _channels_to_end(attrs[_PAIRS][1::2], rank)
        changed[_PAIRS] = [n for pair in zip(before, after, strict=True) for n in pair]
    first, *rest = run(op, given, changed)
    return [channels_first(first), *rest]


def channels_last(x: Tensor) -> Tensor:
    """[N, C, ...] to [N, ..., C]."""
    return _permuted(x, [0, *range(2, x.shape.rank), 1])


def channels_first(x: Tensor) -> Tensor:
    """[N, ..., C] to [N, C, ...]."""
    return _permuted(x, [0, x.shape.rank - 1, *range(1, x.shape.rank - 1)])


def _permuted(x: Tensor, order: Sequence[int]) -> Tensor:
    """The transpose; where only axes of one element move, nothing needs to be copied."""
    if [axis for axis in order if x.shape[axis] > 1] == [axis for axis in range(x.shape.rank) if x.shape[axis] > 1]:
        return tf.reshape(x, [x.shape[axis] for axis in order])
    return tf.transpose(x, order)


def _channels_to_end(values: Sequence[int], rank: int) -> list[int]:
    """One entry an axis, with the entry of the channels moved to the end."""
    return [values[0], *values[2:rank], values[1]]
