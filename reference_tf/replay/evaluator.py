"""One precision's way through a graph: the values so far, and a step that evaluates the next node.

steps.py knows how a node is evaluated; here is what comes before and after: inputs by reference, memory that is given back after the
last use, and where values that are not finite began.
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
from stylexport.converter.graph.graph import Node
from stylexport.converter.graph.schedule import Plan, canonical, name_of
from stylexport.reference_tf.replay.execute_op import DOUBLE, Precision, tensor

Read = Callable[[str], Array]


@dataclass(frozen=True)
class Handle:
    """A variable that is not read yet."""

    key: str


class Dead:
    """What a branch gives that is not taken (TensorFlow 1's Switch)."""


DEAD = Dead()


class Lane:
    """One evaluation of a function. `given` are the values of its inputs, `read` gives a variable by its key."""

    def __init__(self, function: Function, plan: Plan, given: Sequence[Any], read: Read, precision: Precision) -> None:
        self.function, self.plan, self.read, self.precision = function, plan, read, precision
        self.given = {x.name: value for x, value in zip(function.inputs, given, strict=True)}
        self._left = Counter(plan.uses)
        self._values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}  # node whose value is not finite -> node at which that began

    @property
    def held(self) -> int:
        """How many values are in memory."""
        return len(self._values)

    def value(self, ref: str) -> Any:
        """The value of a reference whose node was evaluated. Raises BadInput for an output that the node does not give."""
        ref = canonical(ref)
        if ref in self._values:
            return self._values[ref]
        if self._values.get(name_of(ref)) is DEAD:
            return DEAD
        raise BadInput(f"the graph takes {ref}, which {self.function.graph[ref].op} does not give; fetch or export the file again")

    def keep(self, node: Node, outputs: Sequence[Any]) -> None:
        """Hold what `node` gave."""
        for index, value in enumerate(outputs):
            self._values[f"{node.name}:{index}" if index else node.name] = value
        if not all(is_finite(value) for value in outputs):
            earlier = (self._origins[name_of(ref)] for ref in node.inputs if name_of(ref) in self._origins)
            self._origins[node.name] = next(earlier, node.name)

    def release(self, node: Node) -> None:
        """Give back what nobody takes any more once `node` is evaluated."""
        self._left.subtract(canonical(ref) for ref in node.inputs)
        for ref in [*self._given_by(node), *(canonical(ref) for ref in node.inputs)]:
            if self._left[ref] <= 0 and self._values.get(ref) is not DEAD:
                self._values.pop(ref, None)

    def array(self, ref: str) -> Array:
        """A value as an array, which shares the tensor's memory. Raises BadInput where it is not finite or lies in a dead branch."""
        value, node = self.value(ref), self.function.graph[ref]
        if isinstance(value, Handle):
            value = tensor(self.read(value.key), self.precision)
        if value is DEAD:
            raise BadInput(f"{ref} ({node.op}) lies in a branch that the graph does not take; leave it out")
        if not is_finite(value):
            origin = self.function.graph.nodes[self._origins.get(node.name, node.name)]
            raise BadInput(
                f"{ref} ({node.op}) is not finite{in_words(self.precision)}; the first such values come from {origin.name} ({origin.op}): "
                "give other inputs, or mend the weights"
            )
        found: Array = np.asarray(value)
        return found

    def _given_by(self, node: Node) -> Iterator[str]:
        index, ref = 0, node.name
        while ref in self._values:
            yield ref
            index += 1
            ref = f"{node.name}:{index}"


def in_words(precision: Precision) -> str:
    """What an error says of the precision: nothing where it is the graph's own."""
    return " in float64" if precision is DOUBLE else ""


def is_finite(value: Any) -> bool:
    """Whether a value holds neither infinities nor NaN. A sum tells it faster, unless the sum itself overflows."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or not (dtype.is_floating or dtype.is_complex):
        return True
    array = np.asarray(value)
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())
