"""Finds the nodes at which TensorFlow's own float32 kernel computes something else than its operation's definition.

The proof's rounding floor is the distance of float32 from float64. A wrong kernel (TensorFlow's MaxPool3D on some processors, where a
stride is larger than its window) makes it so large that anything would pass. So each node is judged alone: its kernel's float32 output
against the same operation in float64 on the same float32 inputs.

What rounding explains (Higham, Accuracy and Stability of Numerical Algorithms, chapters 1 and 4): a good kernel gives the exact
result of inputs that are changed by a few units of rounding u = 2^-24, rounded once more. How much such a change does is measured, by
changing every input by one u of random sign: so a sum whose terms cancel is allowed its larger error. A sum of n terms, one after
another, errs by at most sqrt(n) times that. The longest sum that float32 can count has 2^24 terms: hence the factor 2^12.
What rounds to bfloat16 (2^-9) lies above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.types import Array
from stylexport.converter.formats.savedmodel.functions import Function
from stylexport.converter.graph.graph import Node
from stylexport.converter.graph.layer_calls import plain
from stylexport.converter.graph.schedule import schedule
from stylexport.reference_tf.replay.control_flow import OPERATIONS, evaluate, outputs
from stylexport.reference_tf.replay.evaluator import DEAD, Evaluator, ReadVariable
from stylexport.reference_tf.replay.execute_op import DOUBLE, GRAPH, as_array, tensor
from stylexport.reference_tf.replay.walk import fitted

ROUNDING = 2.0**-24
SMALLEST = 2.0**-126  # float32's smallest normal number: what lies below may become zero
ROOM = 2.0**12
# One unit of rounding too many makes the next whole number of these: the definition itself jumps there.
_JUMPING = frozenset("FloorDiv FloorMod Mod TruncateDiv TruncateMod".split())
_CONTROL = frozenset("If StatelessIf While StatelessWhile".split())


@dataclass(frozen=True)
class WrongKernel:
    """A node, its operation, and |float32 - float64| / |float64| of its output on the same inputs (L2 norms)."""

    node: str
    op: str
    error: float

    def __str__(self) -> str:
        where = f"{self.op} at {plain(self.node)}"
        return f"{where}: TensorFlow's float32 kernel is off by {self.error:.2g} from its definition on the same inputs"


def wrong_kernels(function: Function, given: Sequence[Any], read: ReadVariable) -> list[WrongKernel]:
    """The nodes of a function whose float32 output rounding cannot explain, in order of execution.

    `given`: the values of its inputs in the graph's precision; `read`: a variable's value by its checkpoint key. Costs about as much as
    `walk`. Raises BadInput as `walk` does.
    """
    order = schedule(function.graph, function.outputs)
    found = []
    with tf.device("/CPU:0"):
        single = Evaluator(function, order, fitted(function, given, GRAPH), read, GRAPH)
        double = Evaluator(function, order, list(single.given.values()), read, DOUBLE)
        for node in order.nodes:
            evaluate(single, node)
            error = _unexplained(single, double, node)
            if error is not None:
                found.append(WrongKernel(node.name, node.op, error))
            single.release(node)
    return found


def _unexplained(single: Evaluator, double: Evaluator, node: Node) -> float | None:
    """The relative error of a node that was just evaluated; None where rounding explains it, or nothing is computed in float32."""
    copies = node.op in OPERATIONS and node.op not in _CONTROL
    inputs, results = [single.value(ref) for ref in node.inputs], single.outputs(node)
    if copies or node.name in single.given or node.op in _JUMPING or any(value is DEAD for value in inputs):
        return None
    judged = [i for i, value in enumerate(results) if value.dtype == tf.float32]
    if not judged or any(_dtype(value) in (tf.float16, tf.bfloat16) for value in inputs):
        return None
    wide = [value if _dtype(value) is None else tensor(value, DOUBLE) for value in inputs]
    exact = outputs(double, node, wide)
    changed: Sequence[Any] | None = None
    for i in judged:
        right = as_array(exact[i])
        error, size = _norm(as_array(results[i]) - right), _norm(right)
        explained = ROOM * ROUNDING * size + SMALLEST * right.size**0.5
        if not np.isfinite(error) or error <= explained:  # float32's range is not a kernel's mistake
            continue
        changed = outputs(double, node, _changed(wide)) if changed is None else changed
        if error > explained + ROOM * _norm(as_array(changed[i]) - right):
            return error / size if size else float("inf")
    return None


def _changed(inputs: Sequence[Any]) -> list[Any]:
    """Every floating-point number larger or smaller by one unit of rounding; each time the same."""
    signs = np.random.default_rng(0)
    return [
        value * tf.cast(1 + ROUNDING * signs.choice((-1.0, 1.0), value.shape), value.dtype)
        if _dtype(value) in (tf.float64, tf.complex128)
        else value
        for value in inputs
    ]


def _dtype(value: Any) -> Any:
    """A tensor's data type, None of a variable that was not read."""
    return getattr(value, "dtype", None)


def _norm(value: Array) -> float:
    return float(np.linalg.norm(value.ravel()))
