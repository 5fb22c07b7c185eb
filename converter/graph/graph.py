"""A TensorFlow graph as plain nodes: functions inlined, variables known by their checkpoint keys.

A SavedModel's signature is a call into a library of functions that call each other; a function's inputs are variables' handles.
`flatten` inlines all calls, so that the rest of the program sees one list of nodes. Which variable a handle stands for
follows from the graph itself: its restore op assigns checkpoint key k to handle h.
Source: tensorflow/core/framework/{graph,function,node_def}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from stylexport.common.errors import HostileFile

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MOST_NODES = 1_000_000
_DEEPEST = 100
# Ops that return their first input with another shape.
RESHAPES = frozenset(("Reshape", "Squeeze", "ExpandDims"))
# The outputs of operations that have several named ones (tensorflow/core/ops/{nn,array,control_flow,image}_ops.cc).
_NORM = "y batch_mean batch_variance reserve_space_1 reserve_space_2 reserve_space_3"
_OUTPUTS = {
    op: outputs.split()
    for op, outputs in {
        "FusedBatchNorm": _NORM,
        "FusedBatchNormV2": _NORM,
        "FusedBatchNormV3": _NORM,
        "MaxPoolWithArgmax": "output argmax",
        "Merge": "output value_index",
        "NonMaxSuppressionV4": "selected_indices valid_outputs",
        "NonMaxSuppressionV5": "selected_indices selected_scores valid_outputs",
        "Switch": "output_false output_true",
        "TopK": "values indices",
        "TopKV2": "values indices",
        "Unique": "y idx",
        "UniqueV2": "y idx",
        "UniqueWithCounts": "y idx count",
    }.items()
}
_RESTORES = ("RestoreV2", "RestoreSlice", "Restore")
PASS_THROUGH = frozenset(
    "Identity ReadVariableOp StopGradient CheckNumerics Enter PreventGradient Snapshot EnsureShape PlaceholderWithDefault".split()
)


def name_of(ref: str) -> str:
    """The node's name in a reference "name" or "name:1"."""
    return ref.rsplit(":", 1)[0] if ":" in ref else ref


@dataclass(frozen=True)
class Node:
    """One operation. `inputs` are names of nodes, with ":k" where output k > 0 is meant; control inputs are left out."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attr: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Graph:
    """A flat graph. `keys`: the name of a variable's node -> its checkpoint key; `part`: it is the graph of a part of the model."""

    nodes: Mapping[str, Node]
    keys: Mapping[str, str]
    outputs: tuple[str, ...] = ()
    part: bool = False

    def __getitem__(self, ref: str) -> Node:
        return self.nodes[name_of(ref)]

    def get(self, ref: str) -> Node | None:
        """The node that `ref` names, None where the graph has none."""
        return self.nodes.get(name_of(ref))

    @cached_property
    def consumers(self) -> Mapping[str, list[Node]]:
        """Node name -> the nodes that take its outputs."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes.values():
            for ref in node.inputs:
                found.setdefault(name_of(ref), []).append(node)
        return found

    def source(self, ref: str, through: frozenset[str] = PASS_THROUGH) -> Node | None:
        """The node behind `ref`, through identities and variable reads (or the ops named in `through`)."""
        node = self.get(ref)
        for _ in range(_DEEPEST):
            if node is None or node.op not in through or not node.inputs:
                break
            node = self.get(node.inputs[0])
        return node

    def variable(self, ref: str) -> str | None:
        """The checkpoint key of the variable behind `ref`, at most reshaped or cast; None where there is none."""
        node = self.source(ref, PASS_THROUGH | RESHAPES | {"Cast"})
        return self.keys.get(node.name) if node is not None else None

    def constant(self, ref: str) -> Any:
        """The TensorProto of the constant behind `ref`, None where there is none."""
        node = self.source(ref)
        return node.attr["value"].tensor if node is not None and node.op == "Const" and "value" in node.attr else None


def flatten(graph_def: Any, path: str | Path, outputs: tuple[str, ...] = ()) -> Graph:
    """All of `graph_def`, calls inlined. Raises HostileFile where functions call each other without end."""
    functions = {f.signature.name: f for f in graph_def.library.function}
    top = _Scope("", {n.name: n for n in graph_def.node}, {}, functions, path, 0)
    budget = [_MOST_NODES]
    nodes = {node.name: node for node in top.expand(budget)}
    graph = Graph(nodes, {}, tuple(top.resolve(ref) for ref in outputs))
    return Graph(nodes, _variable_keys(graph), graph.outputs)


def flatten_function(graph_def: Any, function: str, bound: Mapping[str, str], path: str | Path, part: bool = False) -> Graph:
    """One library function, calls inlined; `bound` maps the names of its captured arguments to checkpoint keys."""
    functions = {f.signature.name: f for f in graph_def.library.function}
    body = functions[function]
    scope = _Scope("", {n.name: n for n in body.node_def}, {}, functions, path, 0)
    nodes = {node.name: node for node in scope.expand([_MOST_NODES])}
    for arg in body.signature.input_arg:
        nodes[arg.name] = Node(arg.name, "VarHandleOp" if arg.name in bound else "Placeholder", (), {})
    outputs = tuple(scope.resolve(body.ret[arg.name]) for arg in body.signature.output_arg)
    return Graph(nodes, dict(bound), outputs, part)


class _Scope:
    """One call: the nodes of a function body under a prefix, with its arguments bound to the caller's values."""

    def __init__(
        self, prefix: str, nodes: dict[str, Any], args: dict[str, str], functions: Mapping[str, Any], path: str | Path, depth: int
    ) -> None:
        if depth > _DEEPEST:
            raise HostileFile(path, f"its functions call each other more than {_DEEPEST} deep")
        self._prefix, self._nodes, self._args = prefix, nodes, args
        self._functions, self._path, self._depth = functions, path, depth
        self._calls: dict[str, tuple[_Scope, Any]] = {}

    def resolve(self, ref: str) -> str:
        """A reference inside this body as a reference in the flat graph."""
        name, *rest = ref.split(":")
        if name in self._args:
            return self._args[name]
        node = self._nodes.get(name)
        if node is not None and (body := self._body(node)) is not None:
            scope, function = self._call(node, body)
            index = int(rest[-1]) if rest and rest[-1].isdigit() else 0
            outputs = [arg.name for arg in function.signature.output_arg]
            if len(rest) == 2 and rest[0] in outputs:
                index += outputs.index(rest[0])
            return scope.resolve(function.ret[outputs[index]]) if index < len(outputs) else self._prefix + name
        index = int(rest[-1]) if rest and rest[-1].isdigit() else 0
        if node is not None and len(rest) == 2 and rest[0] in (outputs := _OUTPUTS.get(node.op, [])):
            index += outputs.index(rest[0])
        return f"{self._prefix}{name}:{index}" if index else self._prefix + name

    def expand(self, budget: list[int]) -> Iterator[Node]:
        """The nodes of this body and of all that it calls."""
        for name, node in self._nodes.items():
            budget[0] -= 1
            if budget[0] < 0:
                raise HostileFile(self._path, f"its graph grows past {_MOST_NODES} nodes when functions are inlined")
            if (body := self._body(node)) is not None:
                yield from self._call(node, body)[0].expand(budget)
            else:
                inputs = tuple(self.resolve(ref) for ref in node.input if not ref.startswith("^"))
                yield Node(self._prefix + name, node.op, inputs, node.attr)

    def _body(self, node: Any) -> Any:
        """The function that `node` calls, None where it is an operation."""
        if node.op in _CALLS:
            return self._functions.get(node.attr["f"].func.name)
        return self._functions.get(node.op)

    def _call(self, node: Any, function: Any) -> tuple[_Scope, Any]:
        if node.name not in self._calls:
            values = [self.resolve(ref) for ref in node.input if not ref.startswith("^")]
            args = {arg.name: value for arg, value in zip(function.signature.input_arg, values, strict=False)}
            nodes = {n.name: n for n in function.node_def}
            scope = _Scope(f"{self._prefix}{node.name}/", nodes, args, self._functions, self._path, self._depth + 1)
            self._calls[node.name] = (scope, function)
        return self._calls[node.name]


def _variable_keys(graph: Graph) -> dict[str, str]:
    """Variable node -> checkpoint key, from the graph's restore ops."""
    keys: dict[str, str] = {}
    for node in graph.nodes.values():
        if node.op not in ("AssignVariableOp", "Assign") or len(node.inputs) < 2:
            continue
        restore, index = graph.source(node.inputs[1]), _index_behind(graph, node.inputs[1])
        handle = graph.source(node.inputs[0])
        if restore is None or restore.op not in _RESTORES or handle is None or len(restore.inputs) < 2:
            continue
        names = graph.constant(restore.inputs[1])
        if names is not None and index < len(names.string_val):
            keys[handle.name] = names.string_val[index].decode(errors="replace")
    return keys


def _index_behind(graph: Graph, ref: str) -> int:
    """The output index of the node that `source` finds."""
    for _ in range(_DEEPEST):
        node = graph.get(ref)
        if node is None or node.op not in PASS_THROUGH or not node.inputs:
            break
        ref = node.inputs[0]
    return int(ref.rsplit(":", 1)[1]) if ":" in ref else 0
