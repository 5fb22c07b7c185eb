"""The numbers that a graph computes from constants and variables alone: the mean and the scale of its preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stylexport.common.types import Array
from stylexport.converter.graph.constants import array
from stylexport.converter.graph.dataflow import Flow, name_of
from stylexport.converter.graph.graph import Node

_MOST_ELEMENTS = 2**20
_DEEPEST = 16
Compute = Callable[[Sequence[Array]], Array]

_COMPUTED: dict[str, Compute] = {
    "Add": lambda x: x[0] + x[1],
    "AddV2": lambda x: x[0] + x[1],
    "Cast": lambda x: x[0],
    "Div": lambda x: x[0] / x[1],
    "Maximum": lambda x: np.maximum(x[0], x[1]),
    "Minimum": lambda x: np.minimum(x[0], x[1]),
    "Mul": lambda x: x[0] * x[1],
    "Neg": lambda x: -x[0],
    "Pack": lambda x: np.stack(x),
    "RealDiv": lambda x: x[0] / x[1],
    "Reciprocal": lambda x: 1 / x[0],
    "Reshape": lambda x: x[0].reshape(x[1].astype(int)),
    "Rsqrt": lambda x: x[0] ** -0.5,
    "Sqrt": lambda x: np.sqrt(x[0]),
    "Square": lambda x: x[0] ** 2,
    "Sub": lambda x: x[0] - x[1],
}


class FixedValues:
    """Values of a graph's nodes that depend on no input. `read`: a variable's value by its checkpoint key."""

    def __init__(self, flow: Flow, read: Callable[[str], Array]) -> None:
        self.flow, self.read = flow, read
        self._known: dict[str, Array | None] = {}

    def value(self, ref: str, depth: int = 0) -> Array | None:
        """The value behind a reference in float64; None where it is not known, or not of finite numbers."""
        name = name_of(ref)
        if name in self.flow.data or depth > _DEEPEST:
            return None
        if name not in self._known:
            self._known[name] = self._computed(name, depth)
        return self._known[name]

    def of_variable(self, ref: str) -> bool:
        """Whether a value depends on a variable; a frozen graph's are constants."""
        nodes = self.flow.variables.get(name_of(ref), frozenset())
        return any(self.flow.graph.nodes[name].op != "Const" for name in nodes)

    def _computed(self, name: str, depth: int) -> Array | None:
        node = self.flow.graph.nodes[name]
        try:
            found = self._of(node, depth)
        except (ValueError, IndexError, TypeError, ArithmeticError):  # operands that do not fit: the graph's, which replaying it will say
            return None
        return found if found is not None and found.size and np.isfinite(found).all() else None

    def _of(self, node: Node, depth: int) -> Array | None:
        if node.op == "Const":
            value = array(self.flow.graph, node.name)
            return None if value is None or value.size > _MOST_ELEMENTS else np.asarray(value, np.float64)
        if node.name in self.flow.graph.keys:
            value = self.read(self.flow.graph.keys[node.name])
            return value.astype(np.float64) if value.dtype.kind in "fiub" or value.dtype.name == "bfloat16" else None
        compute = _sliced(node) if node.op == "StridedSlice" else _COMPUTED.get(node.op)
        given = [self.value(ref, depth + 1) for ref in self.flow.inputs[node.name]] if compute else []
        known = [value for value in given if value is not None]
        if compute is None or not given or len(known) < len(given):
            return None
        with np.errstate(all="ignore"):
            return np.asarray(compute(known))


def _sliced(node: Node) -> Compute | None:
    """A slice from begin to end by steps; None for one that adds axes or leaves some out in the middle."""
    begins, ends, gone, others = (
        node.attr[name].i if name in node.attr else 0 for name in ("begin_mask", "end_mask", "shrink_axis_mask", "new_axis_mask")
    )
    if others or ("ellipsis_mask" in node.attr and node.attr["ellipsis_mask"].i):
        return None

    def compute(x: Sequence[Array]) -> Array:
        places: list[int | slice] = []
        for axis, (begin, end, step) in enumerate(zip(*(values.astype(int).tolist() for values in x[1:]), strict=True)):
            bit = 1 << axis
            places.append(begin if gone & bit else slice(None if begins & bit else begin, None if ends & bit else end, step))
        return x[0][tuple(places)]

    return compute
