"""What a training program's graph is told when it only evaluates: that it does not train, and that dropout keeps everything.

A placeholder that is a truth value says whether the program trains. The probability of a dropout is found by what is done with it:
`tf.nn.dropout` compares it with random numbers (random >= rate), or adds it to them (floor(keep + random)).
Source: tensorflow/python/ops/nn_ops.py, dropout.
"""

from __future__ import annotations

from collections.abc import Iterator

from stylexport.converter.graph import protos
from stylexport.converter.graph.graph import PASS_THROUGH, Graph, Node, name_of

_GIVEN = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_SAME = PASS_THROUGH - {"PlaceholderWithDefault"}
_FAR = 4  # operations between random numbers and their comparison: two that scale them to a range, and identities


def switched_off(graph: Graph) -> Graph:
    """The graph with these placeholders, and the random numbers behind the dropouts, as constants."""
    constants: dict[str, Node] = {}
    for node in graph.nodes.values():
        if node.op not in _GIVEN or node.name in graph.keys:
            continue
        dtype = protos.DTYPES.get(node.attr["dtype"].type) if "dtype" in node.attr else None
        if dtype == "bool" and node.op != "PlaceholderWithDefault":
            constants[node.name] = _constant(node, 0)
        elif dtype in ("float32", "float64", "float16"):
            for kept, drawn in _dropouts(graph, node):
                constants[node.name] = _constant(node, kept)
                constants[drawn.name] = _constant(node, 0.5, drawn.name)
    return Graph({name: constants.get(name, node) for name, node in graph.nodes.items()}, graph.keys, graph.outputs, graph.part)


def _dropouts(graph: Graph, given: Node) -> Iterator[tuple[float, Node]]:
    """For each dropout with this probability: its value that keeps everything (1 of keeping, 0 of dropping), and the random operation."""
    for user in _users(graph, given):
        if user.op == "Sub" and name_of(user.inputs[-1]) != name_of(user.inputs[0]) and graph.source(user.inputs[1], _SAME) is given:
            yield from ((1.0, drawn) for taker in _users(graph, user) for drawn in _drawn(graph, taker, ("GreaterEqual",)))
        yield from ((0.0, drawn) for drawn in _drawn(graph, user, ("GreaterEqual",)))
        yield from ((1.0, drawn) for drawn in _drawn(graph, user, ("Add", "AddV2")))


def _users(graph: Graph, node: Node, depth: int = 0) -> Iterator[Node]:
    """What takes a node's value, through a few identities."""
    for user in graph.consumers.get(node.name, ()):
        if user.op not in _SAME:
            yield user
        elif depth < _FAR:
            yield from _users(graph, user, depth + 1)


def _drawn(graph: Graph, node: Node, ops: tuple[str, ...]) -> Iterator[Node]:
    """The operation that draws the random numbers that `node`, if it is one of `ops`, takes."""
    front = [graph.get(ref) for ref in node.inputs] if node.op in ops else []
    for _ in range(_FAR):
        yield from (found for found in front if found is not None and found.op == "RandomUniform")
        near = [found for found in front if found is not None and found.op in ("Mul", "Add", "AddV2", "Identity")]
        front = [graph.get(ref) for found in near for ref in found.inputs]


def _constant(node: Node, value: float, name: str | None = None) -> Node:
    constant = protos.GraphDef().node.add(name=name or node.name, op="Const")
    tensor = constant.attr["value"].tensor
    constant.attr["dtype"].type = tensor.dtype = node.attr["dtype"].type
    field = {"bool": tensor.bool_val, "float32": tensor.float_val, "float64": tensor.double_val}.get(protos.DTYPES[tensor.dtype])
    if field is None:  # float16, by its bits
        tensor.half_val.append({0.0: 0, 0.5: 0x3800, 1.0: 0x3C00}[value])
    else:
        field.append(bool(value) if protos.DTYPES[tensor.dtype] == "bool" else value)
    return Node(constant.name, "Const", (), constant.attr)
