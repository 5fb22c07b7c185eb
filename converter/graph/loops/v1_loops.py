"""The loops of TensorFlow 1 as those of TensorFlow 2: a While node with a function for its condition and one for its body.

TensorFlow 1 writes a loop into the graph itself. Everything enters its frame through an Enter; a Merge takes a variable's first value or,
from NextIteration, its next one; a Switch sends it into the body or, through an Exit, out of the loop; LoopCond says which.
Source: tensorflow/core/ops/control_flow_ops.cc; "Implementation of Control Flow in TensorFlow" (2017), section 5.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stylexport.converter.graph.graph import Graph, Node, name_of
from stylexport.converter.graph.protos import DTYPES, AttrValue

_ENTER, _MERGE, _SWITCH, _NEXT, _EXIT = (
    ("Enter", "RefEnter"),
    ("Merge", "RefMerge"),
    ("Switch", "RefSwitch"),
    ("NextIteration", "RefNextIteration"),
    ("Exit", "RefExit"),
)


@dataclass(frozen=True)
class LoopFunction:
    """The condition or the body of a loop: `inputs` are placeholders of `graph` with their dtypes, "" where these are no numbers."""

    graph: Graph = field(repr=False)
    inputs: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]


def as_while(graph: Graph) -> tuple[Graph, dict[str, LoopFunction]]:
    """A graph whose loops are While nodes, and the functions that these name. A loop that is not of TensorFlow's form stays as it is."""
    functions: dict[str, LoopFunction] = {}
    nodes = dict(graph.nodes)
    frames = dict.fromkeys(_frame(node) for node in nodes.values() if node.op in _ENTER)
    waiting = list(frames)
    while waiting:  # a loop in a loop first: the outer one's body then holds a While
        before = len(waiting)
        for frame in list(waiting):
            if (loop := _read(nodes, frame)) is not None and not _holds_a_loop(nodes, loop, set(waiting) - {frame}):
                _replace(nodes, loop, graph.keys, functions)
                waiting.remove(frame)
        if len(waiting) == before:
            break
    return (Graph(nodes, graph.keys, graph.outputs, graph.part), functions) if functions else (graph, {})


def outside(graph: Graph) -> tuple[str, ...]:
    """The outputs of a graph of `as_while` that do not lie inside a loop, as values do that nobody takes."""
    return tuple(ref for ref in graph.outputs if not any(node.op in (*_NEXT, *_ENTER) for node in _inside(graph.nodes, [ref], {})))


@dataclass(frozen=True)
class _Variable:
    """A loop variable: its Enter, Merge, Switch, the value that it takes next, and its Exits."""

    enter: Node
    merge: Node
    switch: Node
    next: str
    exits: tuple[Node, ...]


@dataclass(frozen=True)
class _Loop:
    """A frame: its condition's reference, its variables, and the Enters of what does not change."""

    condition: str
    name: str
    variables: tuple[_Variable, ...]
    fixed: tuple[Node, ...]


def _frame(node: Node) -> str:
    return str(node.attr["frame_name"].s.decode(errors="replace")) if "frame_name" in node.attr else ""


def _read(nodes: Mapping[str, Node], frame: str) -> _Loop | None:
    """A frame as TensorFlow writes it; None where it is of another form."""
    enters = [node for node in nodes.values() if node.op in _ENTER and _frame(node) == frame]
    users = _users(nodes, {enter.name for enter in enters})
    variables, fixed, conditions = [], [], dict[str, None]()
    for enter in enters:
        merge = next((user for user in users[enter.name] if user.op in _MERGE), None)
        if merge is None:
            fixed.append(enter)
            continue
        back = next((nodes.get(name_of(ref)) for ref in merge.inputs if name_of(ref) != enter.name), None)
        switches = [
            node for node in _users(nodes, {merge.name})[merge.name] if node.op in _SWITCH and name_of(node.inputs[0]) == merge.name
        ]
        if back is None or back.op not in _NEXT or len(switches) != 1 or len(switches[0].inputs) != 2:
            return None
        conditions[name_of(switches[0].inputs[1])] = None
        exits = tuple(node for node in _users(nodes, {switches[0].name})[switches[0].name] if node.op in _EXIT)
        variables.append(_Variable(enter, merge, switches[0], back.inputs[0], exits))
    if len(conditions) != 1 or nodes[next(iter(conditions))].op != "LoopCond":
        return None
    condition = nodes[next(iter(conditions))]
    return _Loop(condition.inputs[0], f"{condition.name.rpartition('/')[0] or frame}/While".lstrip("/"), tuple(variables), tuple(fixed))


def _users(nodes: Mapping[str, Node], names: set[str]) -> dict[str, list[Node]]:
    """Node name -> the nodes that take it."""
    found: dict[str, list[Node]] = {name: [] for name in names}
    for node in nodes.values():
        for name in {name_of(ref) for ref in node.inputs} & names:
            found[name].append(node)
    return found


def _inside(nodes: Mapping[str, Node], refs: Iterable[str], borders: Mapping[str, str]) -> list[Node]:
    """The nodes that `refs` need, up to the borders."""
    seen: dict[str, None] = {}
    front = list(refs)
    while front:
        ref = front.pop()
        if ref in borders or name_of(ref) in seen or name_of(ref) not in nodes:
            continue
        seen[name_of(ref)] = None
        front += nodes[name_of(ref)].inputs
    return [nodes[name] for name in seen]


def _borders(loop: _Loop) -> dict[str, str]:
    """What the inside of a loop takes from outside -> the name of the placeholder that stands for it."""
    found: dict[str, str] = {}
    for variable in loop.variables:
        found |= dict.fromkeys((f"{variable.switch.name}:1", variable.merge.name), f"{variable.merge.name}/value")
    return found | {enter.name: f"{enter.name}/value" for enter in loop.fixed}


def _holds_a_loop(nodes: Mapping[str, Node], loop: _Loop, others: set[str]) -> bool:
    inside = _inside(nodes, [loop.condition, *(variable.next for variable in loop.variables)], _borders(loop))
    return any(node.op in _ENTER and _frame(node) in others for node in inside)


def _replace(nodes: dict[str, Node], loop: _Loop, keys: Mapping[str, str], functions: dict[str, LoopFunction]) -> None:
    """Puts a While in place of a loop; its Exits become identities."""
    borders = _borders(loop)
    enters = [*(variable.enter for variable in loop.variables), *loop.fixed]
    placeholders = [*(f"{variable.merge.name}/value" for variable in loop.variables), *(f"{enter.name}/value" for enter in loop.fixed)]
    given = tuple((name, DTYPES.get(enter.attr["T"].type, "")) for name, enter in zip(placeholders, enters, strict=True))
    unchanged = placeholders[len(loop.variables) :]
    results = {"cond": [loop.condition], "body": [*(variable.next for variable in loop.variables), *unchanged]}
    attr: dict[str, Any] = {"T": AttrValue(list=AttrValue.ListValue(type=[enter.attr["T"].type for enter in enters]))}
    for part, refs in results.items():
        name = f"{loop.name}/{part}"
        functions[name] = _function(nodes, refs, borders, given, keys)
        attr[part] = AttrValue()
        attr[part].func.name = name
    nodes[loop.name] = Node(loop.name, "While", tuple(enter.inputs[0] for enter in enters), attr)
    for number, variable in enumerate(loop.variables):
        for exit_ in variable.exits:
            nodes[exit_.name] = Node(exit_.name, "Identity", (f"{loop.name}:{number}" if number else loop.name,), exit_.attr)


def _function(
    nodes: Mapping[str, Node], refs: Sequence[str], borders: Mapping[str, str], given: tuple[tuple[str, str], ...], keys: Mapping[str, str]
) -> LoopFunction:
    """The part of a graph that computes `refs` of what comes over the borders."""
    inside = [
        Node(node.name, node.op, tuple(borders.get(ref, ref) for ref in node.inputs), node.attr) for node in _inside(nodes, refs, borders)
    ]
    placeholders = [Node(name, "Placeholder", (), {}) for name, _ in given]
    graph = {node.name: node for node in itertools.chain(placeholders, inside)}
    outputs = tuple(borders.get(ref, ref) for ref in refs)
    return LoopFunction(Graph(graph, {name: key for name, key in keys.items() if name in graph}, outputs, part=True), given, outputs)
