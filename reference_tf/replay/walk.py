"""An original graph, evaluated node by node with TensorFlow's kernels: as it is saved and in float64, side by side.

Nothing of the model is revived: the flat graph is all that is needed, and the variables by their checkpoint keys. In the second
precision it is the same graph with every floating-point tensor in float64; constants keep the values to which the file rounds them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.savedmodel.functions import Function, Input
from stylexport.converter.graph.schedule import name_of, plan
from stylexport.reference_tf.replay.control_flow import step
from stylexport.reference_tf.replay.evaluator import Lane, Read
from stylexport.reference_tf.replay.execute_op import DOUBLE, GRAPH, Precision, tensor

Seen = Callable[[str, Array, Array], None]
Progress = Callable[[int, int], None]


def walk(
    function: Function,
    given: Sequence[tuple[Any, Any]],
    variable: Read,
    wanted: Collection[str] = (),
    seen: Seen | None = None,
    progress: Progress | None = None,
) -> list[tuple[Array, Array]]:
    """The outputs of a function, each as the graph gives it and in float64.

    `given` holds for each of the function's inputs its value for the one and the other; `variable` reads a checkpoint key. `seen` is
    called with (reference, value, value in float64) for each reference in `wanted`, which may be a variable's node, as soon as it is
    there; `progress` with the nodes done and all that are needed. A tensor is given back after its last use, and arrays share
    memory with tensors: copy what is to stay. The same input gives the same output. Raises BadInput for inputs that do not fit, a
    reference that the graph lacks, a node that cannot be replayed, and a wanted value that is not finite.
    """
    if len(given) != len(function.inputs):
        names = ", ".join(x.name for x in function.inputs)
        raise BadInput(f"{len(given)} inputs are given, but the function takes {len(function.inputs)} ({names}); give one for each")
    with tf.device("/CPU:0"):
        return _walk(function, given, _last(variable), wanted, seen or _unseen, progress or _silent)


def _walk(
    function: Function, given: Sequence[tuple[Any, Any]], read: Read, wanted: Collection[str], seen: Seen, progress: Progress
) -> list[tuple[Array, Array]]:
    needed = plan(function.graph, function.outputs, wanted)
    lanes = [
        Lane(function, needed, [_input(x, pair[i], kind) for x, pair in zip(function.inputs, given, strict=True)], read, kind)
        for i, kind in enumerate((GRAPH, DOUBLE))
    ]
    taps: dict[str, list[str]] = {}
    for ref in dict.fromkeys(wanted):
        taps.setdefault(name_of(ref), []).append(ref)
    for done, node in enumerate(needed.nodes, 1):
        for lane in lanes:
            step(lane, node)
        for ref in taps.get(node.name, ()):
            seen(ref, lanes[0].array(ref), lanes[1].array(ref))
        for lane in lanes:
            lane.release(node)
        progress(done, len(needed.nodes))
    return [(lanes[0].array(ref), lanes[1].array(ref)) for ref in function.outputs]


def _unseen(ref: str, value: Array, exact: Array) -> None: ...


def _silent(done: int, of: int) -> None: ...


def _input(expected: Input, value: Any, precision: Precision) -> Any:
    """What a caller gives, in the input's own data type or the precision's. Raises BadInput where the shape is another."""
    array = np.asarray(value)
    shape = expected.shape
    if shape is not None and (len(shape) != array.ndim or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True))):
        sizes = ", ".join("any" if n is None else str(n) for n in shape)
        raise BadInput(f"the input {expected.name} is of shape {list(array.shape)}, the graph takes [{sizes}]; give it in that shape")
    own = getattr(tf, expected.dtype, None)
    wide = None if own is None else precision.get(own.as_datatype_enum)
    return tf.cast(tensor(array, {}), own if wide is None else tf.as_dtype(wide)) if own is not None else tensor(array, precision)


def _last(variable: Read) -> Read:
    """`variable`, which both precisions ask for one key in turn, asked once."""
    held: dict[str, Array] = {}

    def read(key: str) -> Array:
        if key not in held:
            held.clear()
            held[key] = variable(key)
        return held[key]

    return read
