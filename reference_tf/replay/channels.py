"""Operations on channels-first maps that TensorFlow's CPU kernels refuse: run channels last, with transposes round them.

Turning changes no value and no order of summation that the operation promises, so it is the same function on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stylexport.reference_tf.replay.execute_op import Attributes, Tensor

Call = Callable[[str, Sequence[Tensor], Attributes], list[Tensor]]

LAST = {b"NCHW": b"NHWC", b"NCDHW": b"NDHWC"}


@dataclass(frozen=True)
class Turn:
    """Which inputs of an operation are maps, and which hold one number an axis. Of the outputs, the first is a map."""

    maps: tuple[int, ...] = (0,)
    sizes: tuple[int, ...] = ()


# BiasAdd and FusedBatchNorm are not here: their CPU kernels take both.
TURNS: dict[str, Turn] = {
    "AvgPool": Turn(),
    "AvgPool3D": Turn(),
    "Conv2D": Turn(),
    "Conv2DBackpropInput": Turn(maps=(2,), sizes=(0,)),
    "Conv3D": Turn(),
    "Conv3DBackpropInputV2": Turn(maps=(2,), sizes=(0,)),
    "DepthToSpace": Turn(),
    "DepthwiseConv2dNative": Turn(),
    "DepthwiseConv2dNativeBackpropInput": Turn(maps=(2,), sizes=(0,)),
    "MaxPool": Turn(),
    "MaxPool3D": Turn(),
    "MaxPoolV2": Turn(sizes=(1, 2)),
    "SpaceToDepth": Turn(),
    "_FusedConv2D": Turn(),
    "_FusedDepthwiseConv2dNative": Turn(),
}
# Attributes with one number, or one pair, an axis.
_PER_AXIS = ("strides", "dilations", "ksize")
_PAIRS = "explicit_paddings"


def is_first(op: str, attrs: Attributes) -> bool:
    """Whether the operation works on channels-first maps and can be turned."""
    return op in TURNS and attrs.get("data_format") in LAST


def turned(op: str, inputs: Sequence[Tensor], attrs: Attributes, call: Call) -> list[Tensor]:
    """The outputs of a channels-first operation by its channels-last form, run by `call`."""
    turn, given = TURNS[op], list(inputs)
    rank = given[turn.maps[0]].shape.rank
    for i in turn.maps:
        given[i] = channels_last(given[i])
    for i in turn.sizes:
        sizes = np.asarray(given[i]).tolist()
        given[i] = tf.constant(_moved(sizes, rank) if len(sizes) == rank else sizes, given[i].dtype)
    changed: Attributes = {**attrs, "data_format": LAST[attrs["data_format"]]}
    for name in _PER_AXIS:
        if len(attrs.get(name, ())) == rank:
            changed[name] = _moved(attrs[name], rank)
    if len(attrs.get(_PAIRS, ())) == 2 * rank:
        before, after = _moved(attrs[_PAIRS][::2], rank), _moved(attrs[_PAIRS][1::2], rank)
        changed[_PAIRS] = [n for pair in zip(before, after, strict=True) for n in pair]
    first, *rest = call(op, given, changed)
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


def _moved(values: Sequence[int], rank: int) -> list[int]:
    """One entry an axis, the channels' entry moved to the end."""
    return [values[0], *values[2:rank], values[1]]
