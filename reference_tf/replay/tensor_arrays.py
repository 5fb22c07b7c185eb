"""TensorFlow 1's arrays of tensors, in which a loop keeps the steps of a sequence.

The graph passes a handle and a "flow", a number without meaning that orders reads behind writes. Here the handle is the array itself,
and the flow is passed on. Source: tensorflow/core/ops/data_flow_ops.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.converter.graph.graph import Node
from stylexport.reference_tf.replay.evaluator import Evaluator


@dataclass
class TensorArray:
    """The tensors by their index; `size` counts those that are not written yet, too."""

    size: int
    items: dict[int, Any] = field(default_factory=dict)

    def read(self, index: int) -> Any:
        """Raises BadInput where nothing was written."""
        if index not in self.items:
            raise BadInput(f"it reads element {index} of an array of {self.size}, which was not written")
        return self.items[index]


def _array(value: Any) -> TensorArray:
    if not isinstance(value, TensorArray):
        raise BadInput("it takes an array of tensors that the graph does not make")
    return value


def _make(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [TensorArray(int(inputs[0])), tf.constant(0.0)]


def _write(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    array, index = _array(inputs[0]), int(inputs[1])
    array.items[index], array.size = inputs[2], max(array.size, index + 1)
    return [inputs[3]]


def _read(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [_array(inputs[0]).read(int(inputs[1]))]


def _scatter(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    array = _array(inputs[0])
    for index, item in zip(np.asarray(inputs[1]).tolist(), tf.unstack(inputs[2]), strict=True):
        array.items[index], array.size = item, max(array.size, index + 1)
    return [inputs[3]]


def _gather(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [tf.stack([_array(inputs[0]).read(index) for index in np.asarray(inputs[1]).tolist()])]


def _size(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [tf.constant(_array(inputs[0]).size)]


def _concat(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    array = _array(inputs[0])
    items = [array.read(index) for index in range(array.size)]
    return [tf.concat(items, 0), tf.constant([len(item) for item in items], tf.int64)]


def _split(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    array = _array(inputs[0])
    array.items = dict(enumerate(tf.split(inputs[1], np.asarray(inputs[2]).tolist())))
    array.size = max(array.size, len(array.items))
    return [inputs[3]]


def _nothing(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return ()


TENSOR_ARRAYS: Mapping[str, Any] = {
    "TensorArrayV3": _make,
    "TensorArrayWriteV3": _write,
    "TensorArrayReadV3": _read,
    "TensorArrayScatterV3": _scatter,
    "TensorArrayGatherV3": _gather,
    "TensorArraySizeV3": _size,
    "TensorArrayConcatV3": _concat,
    "TensorArraySplitV3": _split,
    "TensorArrayCloseV3": _nothing,
}
