"""One evaluation of a graph in one precision: the values so far, by reference.

control_flow.py computes the next node; here are its inputs, the memory that is freed after a value's last use, and the node at which
values first stopped being finite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.savedmodel.functions import Function
from stylexport.converter.graph.graph import Node, name_of
from stylexport.converter.graph.schedule import Schedule, canonical
from stylexport.reference_tf.replay.execute_op import DOUBLE, Precision, as_array, tensor

ReadVariable = Callable[[str], Array]


@dataclass(frozen=True)
class Handle:
    """A variable that was not read yet."""

    key: str


class Dead:
    """The value of a branch not taken (Switch)."""


DEAD = Dead()


class Evaluator:
    """One evaluation of a function in the order of `schedule`.

    `given`: the values of the function's inputs, in their order; `read`: a variable's value by its checkpoint key.
    """

    def __init__(self, function: Function, schedule: Schedule, given: Sequence[Any], read: ReadVariable, precision: Precision) -> None:
        self.function, self.schedule, self.read, self.precision = function, schedule, read, precision
        self.given = {x.name: value for x, value in zip(function.inputs, given, strict=True)}
        self._uses_left = Counter(schedule.uses)
        self._values: dict[str, Any] = {}
        self._first_not_finite: dict[str, str] = {}  # node whose value is not finite -> the node at which that began

    @property
    def held(self) -> int:
        """How many values are in memory."""
        return len(self._values)

    def value(self, ref: str) -> Any:
        """The value of a reference whose node was evaluated. Raises BadInput for an output that the node does not have."""
        ref = canonical(ref)
        if ref in self._values:
            return self._values[ref]
        if self._values.get(name_of(ref)) is DEAD:
            return DEAD
        raise BadInput(f"the graph takes {ref}, which {self.function.graph[ref].op} does not give; fetch or export the file again")

    def outputs(self, node: Node) -> list[Any]:
        """All values of a node that was evaluated and not released, in order."""
        return [self._values[ref] for ref in self._refs(node)]

    def keep(self, node: Node, outputs: Sequence[Any]) -> None:
        """Store the outputs of `node`."""
        for index, value in enumerate(outputs):
            self._values[f"{node.name}:{index}" if index else node.name] = value
        if not all(is_finite(value) for value in outputs):
            earlier = (self._first_not_finite[name_of(ref)] for ref in node.inputs if name_of(ref) in self._first_not_finite)
            self._first_not_finite[node.name] = next(earlier, node.name)

    def release(self, node: Node) -> None:
        """Free what no later node takes, once `node` is evaluated."""
        self._uses_left.subtract(canonical(ref) for ref in node.inputs)
        for ref in [*self._refs(node), *(canonical(ref) for ref in node.inputs)]:
            if self._uses_left[ref] <= 0 and self._values.get(ref) is not DEAD:
                self._values.pop(ref, None)

    def array(self, ref: str) -> Array:
        """A value as an array that shares the tensor's memory. Raises BadInput where it is not finite or lies in a branch not taken."""
        value, node = self.value(ref), self.function.graph[ref]
        if isinstance(value, Handle):
            value = tensor(self.read(value.key), self.precision)
        if value is DEAD:
            raise BadInput(f"{ref} ({node.op}) lies in a branch that the graph does not take; leave it out")
        if not is_finite(value):
            origin = self.function.graph.nodes[self._first_not_finite.get(node.name, node.name)]
            raise BadInput(
                f"{ref} ({node.op}) is not finite{in_words(self.precision)}; the first such values come from {origin.name} ({origin.op}): "
                "give other inputs, or repair the weights"
            )
        found: Array = as_array(value)
        return found

    def _refs(self, node: Node) -> Iterator[str]:
        index, ref = 0, node.name
        while ref in self._values:
            yield ref
            index += 1
            ref = f"{node.name}:{index}"


def in_words(precision: Precision) -> str:
    """How an error names the precision: not at all where it is the graph's own."""
    return " in float64" if precision is DOUBLE else ""


def is_finite(value: Any) -> bool:
    """Whether a value holds neither infinities nor NaN. The sum is a quick test, unless the sum itself overflows."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or not (dtype.is_floating or dtype.is_complex):
        return True
    array = as_array(value)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())
