"""Constants in a graph and their use: the number behind a reference, and the factor of a scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stylexport.converter.graph.graph import PASS_THROUGH, RESHAPES, Graph, Node
from stylexport.converter.graph.protos import DTYPES
from stylexport.converter.graph.tensor_proto import decode_tensor

_CAST_TO = ("float16", "float32", "float64", "int32", "int64")
_SILENT = PASS_THROUGH | RESHAPES


def scalar(graph: Graph, ref: str) -> float | None:
    """The value of the one-element numeric constant behind `ref`, None where there is none."""
    value = array(graph, ref)
    return float(value.reshape(())) if value is not None and value.size == 1 else None


def array(graph: Graph, ref: str) -> Any:
    """The numeric constant behind `ref`, at most cast, as an array; None where there is none."""
    node = graph.source(ref)
    if node is not None and node.op == "Cast" and (dtype := DTYPES.get(node.attr["DstT"].type)) in _CAST_TO:
        value = array(graph, node.inputs[0])
        return None if value is None else value.astype(dtype)
    tensor = graph.constant(ref)
    if tensor is None or DTYPES.get(tensor.dtype) in (None, "string", "bool", "complex64", "complex128"):
        return None
    return decode_tensor(tensor, "graph constant")


def operand(graph: Graph, node: Node) -> tuple[str, float] | None:
    """For a binary node with one scalar constant: the other input, and the constant."""
    if len(node.inputs) != 2:
        return None
    for data, other in (node.inputs, node.inputs[::-1]):
        if (value := scalar(graph, other)) is not None and scalar(graph, data) is None:
            return data, value
    return None


def factor(graph: Graph, node: Node) -> tuple[str, float] | None:
    """For a product with, or a quotient by, a scalar constant: the other input, and its factor."""
    found = operand(graph, node) if node.op in ("Mul", "RealDiv") else None
    if found is None or node.op == "Mul":
        return found
    return (found[0], 1 / found[1]) if found[1] and found[0] == node.inputs[0] else None


def users(graph: Graph, node: Node) -> Iterator[Node]:
    """The nodes that use a node's value; nodes that only change its shape are looked through."""
    for user in graph.consumers.get(node.name, []):
        if user.op in _SILENT and (graph.get(user.inputs[0]) or user).name == node.name:
            yield from users(graph, user)
        else:
            yield user


def fixed(graph: Graph, ref: str) -> bool:
    """Whether a value is a constant or a variable, at most reshaped or scaled."""
    node = graph.source(ref)
    for _ in range(8):
        if node is None or node.op == "Const" or node.name in graph.keys:
            return node is not None
        if node.op not in ("Reshape", "Mul", "Transpose", "ExpandDims", "Cast", "Squeeze") or not node.inputs:
            return False
        node = graph.source(node.inputs[0])
    return False
