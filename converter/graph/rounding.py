"""How many constants before a node are rounded to float32 in the graph, where a port may hold them exactly.

Gains, run-time coefficients and slopes are rounded; whole numbers and short fractions (1/2, 9/64) are not.
"""

from __future__ import annotations

import math

import numpy as np

from stylexport.converter.graph.dataflow import Flow, name_of
from stylexport.converter.graph.graph import Graph, Node
from stylexport.converter.graph.protos import DTYPES
from stylexport.converter.graph.tensor_proto import decode_tensor

_BITS = 12  # a value with at most so many significant bits counts as exact
_MOST_ELEMENTS = 64  # enough for a filter; larger tensors are the same data on both sides
_ATTRIBUTES = {"LeakyRelu": "alpha", **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), "epsilon")}


def upstream(flow: Flow) -> dict[str, int]:
    """Node -> the number of uses of rounded constants that its value depends on. A constant that is used twice counts twice."""
    own = {name: _own(flow.graph, name) for name in flow.inputs}
    behind: dict[str, int] = {}  # ancestors as bits, the node itself included
    for place, (name, refs) in enumerate(flow.inputs.items()):
        bits = 1 << place if own[name] else 0
        for ref in refs:
            bits |= behind.get(name_of(ref), 0)
        behind[name] = bits
    many = [(1 << place, own[name] - 1) for name, place in flow.place.items() if own[name] > 1]
    return {name: bits.bit_count() + sum(more for bit, more in many if bits & bit) for name, bits in behind.items()}


def _own(graph: Graph, name: str) -> int:
    """The number of rounded constants that one node takes."""
    node = graph.nodes[name]
    if name in graph.keys:
        return 0
    return sum(_is_rounded_constant(graph, ref) for ref in node.inputs) + _has_rounded_attribute(node)


def _has_rounded_attribute(node: Node) -> bool:
    attribute = _ATTRIBUTES.get(node.op)
    return attribute is not None and attribute in node.attr and is_rounded(np.float64(node.attr[attribute].f))


def _is_rounded_constant(graph: Graph, ref: str) -> bool:
    source, tensor = graph.source(ref), graph.constant(ref)
    if source is None or tensor is None or source.name in graph.keys or DTYPES.get(tensor.dtype) != "float32":
        return False
    if math.prod(dim.size for dim in tensor.tensor_shape.dim) > _MOST_ELEMENTS:
        return False
    return is_rounded(decode_tensor(tensor, source.name).astype(np.float64))


def is_rounded(values: np.ndarray | np.float64) -> bool:
    """Whether any value needs more than 12 significant bits, as a rounded fraction does."""
    mantissa, _ = np.frexp(values)
    scaled = np.ldexp(mantissa, _BITS)
    return bool((scaled != np.rint(scaled)).any())
