"""In which order the nodes of a flat graph are evaluated (topological order), and how often each value is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from stylexport.common.errors import BadInput
from stylexport.converter.graph.graph import Graph, Node, name_of

# The back edge of a loop in TensorFlow 1's form.
_LOOPS = ("NextIteration", "RefNextIteration")


@dataclass(frozen=True)
class Schedule:
    """The nodes that some outputs need, each after its inputs; `uses` counts how often each reference is taken, outputs included."""

    nodes: tuple[Node, ...]
    uses: Mapping[str, int]


def schedule(graph: Graph, outputs: Iterable[str], wanted: Iterable[str] = ()) -> Schedule:
    """The order in which to evaluate `outputs` and `wanted`: depth first, so that the same graph gives the same order.

    Raises BadInput for a reference that the graph does not hold, and for a loop.
    """
    outputs = [canonical(ref) for ref in outputs]
    nodes = tuple(_order(graph, [*outputs, *(canonical(ref) for ref in wanted)]))
    uses = Counter(canonical(ref) for node in nodes for ref in node.inputs)
    uses.update(outputs)
    return Schedule(nodes, uses)


def canonical(ref: str) -> str:
    """One spelling of each reference: "name" for the first output, "name:k" for another."""
    return ref[:-2] if ref.endswith(":0") else ref


def _order(graph: Graph, refs: Iterable[str]) -> Iterator[Node]:
    done, open_ = set[str](), set[str]()
    stack = [(name_of(ref), False) for ref in reversed(list(refs))]
    while stack:
        name, entered = stack.pop()
        if name in done:
            continue
        node = graph.nodes.get(name)
        if node is None:
            raise BadInput(f"the graph holds no node {name!r}; name one that it has, or fetch the file again if it is damaged")
        if entered:
            open_.discard(name)
            done.add(name)
            yield node
            continue
        if name in open_ or node.op in _LOOPS:
            raise BadInput(f"{name} ({node.op}) is part of a loop, which cannot be replayed; save the model with TensorFlow 2")
        open_.add(name)
        stack.append((name, True))
        stack += [(name_of(ref), False) for ref in reversed(node.inputs) if name_of(ref) not in done]
