"""How many constants before a node are rounded in the graph, where a port may hold them exactly; and what a node is rounded to.

Gains, run-time coefficients and slopes are rounded; whole numbers and short fractions (1/2, 9/64) are not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np

from stylexport.converter.graph.dataflow import Flow, name_of
from stylexport.converter.graph.graph import Graph, Node
from stylexport.converter.graph.protos import DTYPES
from stylexport.converter.graph.tensor_proto import decode_tensor

# Data type -> its bits of significand. A constant that needs at most half of them counts as exact. A result is off by 2^-bits at most,
# relative to its power of two: half the spacing of numbers there.
BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
_MOST_ELEMENTS = 64  # enough for a filter; larger tensors are the same data on both sides
_ATTRIBUTES = {"LeakyRelu": "alpha", **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), "epsilon")}


def upstream(flow: Flow, types: Collection[str] = ("float32",), stops: Collection[str] = ()) -> dict[str, int]:
    """Node -> the number of uses of constants rounded to one of `types` that its value depends on. One that is used twice counts twice.

    Those before one of the nodes `stops` are not counted behind it.
    """
    own = {name: _own(flow.graph, name, types) for name in flow.inputs}
    behind: dict[str, int] = {}  # ancestors as bits, the node itself included
    for place, (name, refs) in enumerate(flow.inputs.items()):
        bits = 1 << place if own[name] else 0
        for ref in refs:
            bits |= behind.get(name_of(ref), 0) if name_of(ref) not in stops else 0
        behind[name] = bits
    many = [(1 << place, own[name] - 1) for name, place in flow.place.items() if own[name] > 1]
    return {name: bits.bit_count() + sum(more for bit, more in many if bits & bit) for name, bits in behind.items()}


def units(flow: Flow) -> dict[str, float]:
    """Node -> its unit of rounding: 2^-24 where all data before it are float32 or wider, 2^-11 behind float16, 2^-8 behind bfloat16."""
    found: dict[str, float] = {}
    for name, refs in flow.inputs.items():
        bits = min([BITS["float32"], *(BITS.get(kind, BITS["float32"]) for kind in _types(flow.graph.nodes[name]))])
        own = 2.0**-bits if name in flow.data else 0.0
        found[name] = max([own, *(found[name_of(ref)] for ref in refs)], default=own)
    return {name: unit or 2.0 ** -BITS["float32"] for name, unit in found.items()}


def _types(node: Node) -> Iterator[str]:
    """The data types that a node's attributes name."""
    for attr in node.attr.values():
        yield from (DTYPES.get(kind, "") for kind in (attr.type, *attr.list.type))


def _own(graph: Graph, name: str, types: Collection[str]) -> int:
    """The number of rounded constants that one node takes."""
    node = graph.nodes[name]
    if name in graph.keys:
        return 0
    return sum(_is_rounded_constant(graph, ref, types) for ref in node.inputs) + ("float32" in types and _has_rounded_attribute(node))


def _has_rounded_attribute(node: Node) -> bool:
    attribute = _ATTRIBUTES.get(node.op)
    return attribute is not None and attribute in node.attr and is_rounded(np.float64(node.attr[attribute].f))


def _is_rounded_constant(graph: Graph, ref: str, types: Collection[str]) -> bool:
    source, tensor = graph.source(ref), graph.constant(ref)
    if source is None or tensor is None or source.name in graph.keys or (kind := DTYPES.get(tensor.dtype, "")) not in types:
        return False
    if math.prod(dim.size for dim in tensor.tensor_shape.dim) > _MOST_ELEMENTS:
        return False
    return is_rounded(decode_tensor(tensor, source.name).astype(np.float64), BITS[kind] // 2)


def is_rounded(values: np.ndarray | np.float64, bits: int = BITS["float32"] // 2) -> bool:
    """Whether any value needs more significant bits than these, as a rounded fraction does."""
    mantissa, _ = np.frexp(values)
    scaled = np.ldexp(mantissa, bits)
    return bool((scaled != np.rint(scaled)).any())
