"""Activations in a graph: the pointwise operations that follow a node, however the activation is written.

A leaky ReLU is one operation or max(x, 0.2 x), swish is x * sigmoid(x): what follows a node, up to the next node that all branches
pass through, belongs to the activation as long as it is pointwise and takes nothing else but numbers.
"""

from __future__ import annotations

from stylexport.converter.graph.constants import array, scalar
from stylexport.converter.graph.dataflow import END, Flow, name_of
from stylexport.converter.graph.protos import DTYPES

SCALINGS = ("Mul", "RealDiv")
SUMS = ("Add", "AddV2", "AddN")
_UNARY = "Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh Softplus Softsign Erf Erfc Exp Expm1 Log Log1p Neg Abs Square Sqrt Rsqrt Reciprocal"
_BINARY = "Add AddV2 Sub Mul RealDiv Div DivNoNan Maximum Minimum Pow SquaredDifference Greater GreaterEqual Less LessEqual"
POINTWISE = frozenset(f"{_UNARY} {_BINARY} ClipByValue Select SelectV2".split())
# They change no value, so that an activation may continue after them.
SILENT = frozenset("Reshape Transpose Squeeze ExpandDims Cast".split())
FLOATS = ("float16", "bfloat16", "float32", "float64")


def chain(flow: Flow, start: str) -> tuple[str, ...]:
    """`start` and the pointwise nodes after it, in order: those that everything computed from `start` passes through."""
    found, here = [start], start
    while (after := flow.after(here)) != END:
        if not _is_silent(flow, here, after):
            if not _is_pointwise(flow, here, after):
                break
            found.append(after)
        here = after
    return tuple(found)


def factor(flow: Flow, name: str) -> float | None:
    """The factor of a node that only multiplies its data by, or divides it by, one number; None for any other node."""
    node = flow.graph.nodes[name]
    if node.op not in SCALINGS or len(flow.data_inputs(name)) != 1 or len(flow.fixed_inputs(name)) != 1:
        return None
    value = scalar(flow.graph, flow.fixed_inputs(name)[0])
    if node.op == "RealDiv" and value is not None:
        return 1 / value if value and name_of(flow.inputs[name][0]) in flow.data else None
    return value


def past_silent(flow: Flow, name: str) -> str:
    """The first node after `name` that does more than change the shape; END where there is none."""
    while (after := flow.after(name)) != END and _is_silent(flow, name, after):
        name = after
    return after


def _is_silent(flow: Flow, before: str, name: str) -> bool:
    node = flow.graph.nodes[name]
    whole = node.op != "Cast" or DTYPES.get(node.attr["DstT"].type) in FLOATS
    return node.op in SILENT and whole and flow.data_inputs(name) == (before,)


def _is_pointwise(flow: Flow, start: str, end: str) -> bool:
    """Whether `end` is computed from `start` and single numbers alone, pointwise."""
    front, seen = [end], {start}
    while front:
        name = front.pop()
        if name in seen:
            continue
        seen.add(name)
        if flow.graph.nodes[name].op not in POINTWISE or not all(_is_number(flow, ref) for ref in flow.fixed_inputs(name)):
            return False
        front += flow.data_inputs(name)
    return True


def _is_number(flow: Flow, ref: str) -> bool:
    name = name_of(ref)
    if name in flow.graph.keys:
        return False
    value = array(flow.graph, ref)
    return flow.graph.nodes[name].op in ("ZerosLike", "OnesLike") if value is None else value.size == 1
