"""How data flows through a flat graph: what its outputs need, what depends on the inputs, and where branches join again.

A node is *data* where its value depends on what a caller feeds; other nodes are constants, or depend on variables (a weight times its
coefficient). Identities do not exist here: every reference stands for the operation behind them. Names of nodes decide nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from stylexport.common.errors import BadInput
from stylexport.converter.graph.graph import PASS_THROUGH, Graph, Node, name_of
from stylexport.converter.graph.protos import DTYPES

END = ""  # follows every node whose value no other node takes
# Operations whose value depends on the shape of their input, and not on its values.
SHAPE_ONLY = frozenset("Shape ShapeN Size Rank ZerosLike OnesLike".split())
_FED = frozenset("Placeholder PlaceholderWithDefault PlaceholderV2 Arg _Arg".split())
_SAME = PASS_THROUGH - {"PlaceholderWithDefault"}


def resolve(graph: Graph, ref: str) -> str:
    """The reference behind identities, IdentityN included. Raises BadInput where the graph does not have the node."""
    for _ in range(len(graph.nodes) + 1):
        node = graph.get(ref)
        if node is None:
            raise BadInput(f"the graph takes {ref!r}, which it does not hold; the SavedModel is incomplete: fetch it again")
        output = int(ref.rsplit(":", 1)[1]) if ":" in ref else 0
        if node.op == "IdentityN" and output < len(node.inputs):
            ref = node.inputs[output]
        elif node.inputs and node.op in _SAME:
            ref = node.inputs[0]
        else:
            break
    return ref


def _dtype(node: Node) -> str:
    return DTYPES.get(node.attr["dtype"].type, "") if "dtype" in node.attr else ""


@dataclass(frozen=True)
class Flow:
    """What a graph's outputs need. `inputs`: node -> references that it takes, in order of execution; `fed`: what a caller feeds;
    `outputs`: what the graph gives.
    """

    graph: Graph
    inputs: Mapping[str, tuple[str, ...]]
    fed: frozenset[str]
    outputs: tuple[str, ...] = ()

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Node -> its place in the order of execution."""
        return {name: i for i, name in enumerate(self.inputs)}

    @cached_property
    def data(self) -> frozenset[str]:
        """The nodes whose values depend on what is fed."""
        return self.depending_on(self.fed)

    def depending_on(self, nodes: Collection[str]) -> frozenset[str]:
        """The nodes whose values depend on any of `nodes`, these included."""
        found = set(nodes)
        for name, refs in self.inputs.items():
            if any(name_of(ref) in found for ref in refs):
                found.add(name)
        return frozenset(found)

    def needed_by(self, nodes: Collection[str]) -> frozenset[str]:
        """The nodes on whose values any of `nodes` depends, these included."""
        found = set(nodes)
        for name in reversed(list(self.inputs)):
            if name in found:
                found.update(name_of(ref) for ref in self.inputs[name])
        return frozenset(found)

    @cached_property
    def variables(self) -> Mapping[str, frozenset[str]]:
        """Node that is not data -> the nodes of the variables that its value depends on."""
        found: dict[str, frozenset[str]] = {}
        for name, refs in self.inputs.items():
            if name in self.graph.keys:
                found[name] = frozenset((name,))
            elif name not in self.data:
                found[name] = frozenset[str]().union(*(found.get(name_of(ref), frozenset()) for ref in refs))
        return found

    def data_inputs(self, name: str) -> tuple[str, ...]:
        """The data nodes that `name` takes, each once."""
        return tuple(dict.fromkeys(n for n in map(name_of, self.inputs[name]) if n in self.data))

    def fixed_inputs(self, name: str) -> tuple[str, ...]:
        """The references that `name` takes and that are not data."""
        return tuple(ref for ref in self.inputs[name] if name_of(ref) not in self.data)

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Data node -> the data nodes that take it."""
        found: dict[str, list[str]] = {name: [] for name in self.data}
        for name in self.inputs:
            if name in self.data:
                for taken in self.data_inputs(name):
                    found[taken].append(name)
        return {name: tuple(users) for name, users in found.items()}

    @cached_property
    def _dominators(self) -> tuple[Mapping[str, str], Mapping[str, int]]:
        """The tree of immediate post-dominators, and each node's depth in it.

        In a graph without cycles the immediate post-dominator of a node is the lowest common ancestor of its successors in the tree.
        An output that other nodes take is not an end: what they compute is part of the network too.
        """
        after: dict[str, str] = {}
        depth = {END: 0}
        for name in reversed(list(self.inputs)):
            if name in self.data:
                users = [user for user in self.consumers[name] if user in depth]  # one without a depth closes a loop
                after[name] = _meet(users, after, depth) if users else END
                depth[name] = depth[after[name]] + 1
        return after, depth

    def after(self, name: str) -> str:
        """The first data node that everything computed from `name` passes through; END where there is none."""
        return self._dominators[0].get(name, END)

    def meet(self, names: Sequence[str]) -> str:
        """The first data node that everything computed from any of `names` passes through, perhaps one of them; END where there is none."""
        return _meet(names, *self._dominators)


def _meet(names: Sequence[str], after: Mapping[str, str], depth: Mapping[str, int]) -> str:
    here = names[0]
    for other in names[1:]:
        while here != other:
            if depth[here] >= depth[other]:
                here = after[here]
            else:
                other = after[other]
    return here


def follow(graph: Graph, outputs: Sequence[str], fed: Collection[str] | None = None) -> Flow:
    """What `outputs` need. `fed` names the placeholders that a caller feeds; by default all but variables, and but switches
    (bool) such as Keras's learning phase.

    Raises BadInput where the graph lacks a node that is needed.
    """
    inputs: dict[str, tuple[str, ...]] = {}
    stack = [(name_of(resolve(graph, ref)), False) for ref in reversed(outputs)]
    entered: set[str] = set()
    while stack:
        name, done = stack.pop()
        if done:
            inputs[name] = _taken(graph, name)
        elif name not in entered:
            entered.add(name)
            stack.append((name, True))
            stack += [(name_of(ref), False) for ref in reversed(_taken(graph, name))]
    given = frozenset(name for name in inputs if graph[name].op in _FED and name not in graph.keys and _dtype(graph[name]) != "bool")
    return Flow(graph, inputs, given if fed is None else given & frozenset(fed), tuple(resolve(graph, ref) for ref in outputs))


def _taken(graph: Graph, name: str) -> tuple[str, ...]:
    """The references whose values `name` takes."""
    node = graph.nodes[name]
    return () if node.op in SHAPE_ONLY or name in graph.keys else tuple(resolve(graph, ref) for ref in node.inputs)
