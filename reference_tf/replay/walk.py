"""An original graph, evaluated node by node with TensorFlow's kernels: in its own precision and in float64, side by side.

The model is not loaded into TensorFlow: the flat graph, and the variables by their checkpoint keys, are all that is needed. In float64
it is the same graph with every floating-point tensor in float64; constants keep the rounded values that the file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.savedmodel.functions import Function, Input
from stylexport.converter.graph.graph import name_of
from stylexport.converter.graph.schedule import schedule
from stylexport.reference_tf.replay.control_flow import evaluate
from stylexport.reference_tf.replay.evaluator import Evaluator, ReadVariable
from stylexport.reference_tf.replay.execute_op import DOUBLE, GRAPH, Precision, as_array, tensor

Seen = Callable[[str, Array, Array], None]
NodesDone = Callable[[int, int], None]


def walk(
    function: Function,
    given: Sequence[tuple[Any, Any]],
    read: ReadVariable,
    wanted: Collection[str] = (),
    seen: Seen = lambda *_: None,
    progress: NodesDone = lambda *_: None,
    watched: Mapping[str, Callable[[Array], None]] = MappingProxyType({}),
) -> list[tuple[Array, Array]]:
    """The outputs of a function, each as the graph gives it and in float64.

    `given`: for each input of the function its value in the graph's precision and in float64; `read`: a variable's value by its
    checkpoint key; `seen(reference, value, value in float64)` is called for each reference in `wanted`, which may be a variable's node,
    as soon as it is computed; `progress(nodes done, nodes in all)`; what is in `watched` is called with the value of its reference in
    float64, which need not be finite, where the graph comes to it. A tensor is freed after its last use, and arrays share memory with
    tensors: copy what you keep. The same input gives the same output. Raises BadInput for inputs that do not fit, a reference that the
    graph lacks, a node that cannot be replayed, and a wanted value that is not finite.
    """
    order = schedule(function.graph, function.outputs, wanted)
    read = _once_for_both(read)
    taps: dict[str, list[str]] = {}
    for ref in dict.fromkeys(wanted):
        taps.setdefault(name_of(ref), []).append(ref)
    looked_at: dict[str, list[str]] = {}
    for ref in watched:
        looked_at.setdefault(name_of(ref), []).append(ref)
    with tf.device("/CPU:0"):
        evaluators = [
            Evaluator(function, order, fitted(function, [pair[i] for pair in given], precision), read, precision)
            for i, precision in enumerate((GRAPH, DOUBLE))
        ]
        for done, node in enumerate(order.nodes, 1):
            for evaluator in evaluators:
                evaluate(evaluator, node)
            for ref in taps.get(node.name, ()):
                seen(ref, evaluators[0].array(ref), evaluators[1].array(ref))
            for ref in looked_at.get(node.name, ()):
                _look(evaluators[1].value(ref), watched[ref])
            for evaluator in evaluators:
                evaluator.release(node)
            progress(done, len(order.nodes))
        return [(evaluators[0].array(ref), evaluators[1].array(ref)) for ref in function.outputs]


def _look(value: Any, look: Callable[[Array], None]) -> None:
    """Calls `look` with a value that is a tensor: not a variable, nor in a branch not taken."""
    if isinstance(value, tf.Tensor):
        look(as_array(value))


def fitted(function: Function, given: Sequence[Any], precision: Precision) -> list[Any]:
    """The inputs of a function as tensors in a precision. Raises BadInput where their number or a shape is another."""
    if len(given) != len(function.inputs):
        names = ", ".join(x.name for x in function.inputs)
        raise BadInput(f"{len(given)} inputs are given, but the function takes {len(function.inputs)} ({names}); give one for each")
    return [_fitted(x, value, precision) for x, value in zip(function.inputs, given, strict=True)]


def _fitted(expected: Input, value: Any, precision: Precision) -> Any:
    """One input, in its own data type or the precision's."""
    array = np.asarray(value)
    shape = expected.shape
    if shape is not None and (len(shape) != array.ndim or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True))):
        sizes = ", ".join("any" if n is None else str(n) for n in shape)
        raise BadInput(f"the input {expected.name} is of shape {list(array.shape)}, the graph takes [{sizes}]; give it in that shape")
    own = getattr(tf, expected.dtype, None)
    if own is None:
        return tensor(array, precision)
    wide = precision.get(own.as_datatype_enum)
    return tf.cast(tensor(array, {}), own if wide is None else tf.as_dtype(wide))


def _once_for_both(read: ReadVariable) -> ReadVariable:
    """`read` for two evaluations that ask for each variable in turn: it is called once."""
    last: dict[str, Array] = {}

    def read_once(key: str) -> Array:
        if key not in last:
            last.clear()
            last[key] = read(key)
        return last[key]

    return read_once
