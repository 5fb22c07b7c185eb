"""The order of axes of each node's value, NCHW or NHWC: some operations state it, and others pass it on unchanged."""

from __future__ import annotations

from collections.abc import Iterator

from stylexport.converter.graph.constants import array
from stylexport.converter.graph.dataflow import Flow, name_of
from stylexport.converter.graph.graph import Node
from stylexport.converter.graph.pointwise import FLOATS, POINTWISE
from stylexport.converter.graph.protos import DTYPES

ORDERS = ("NCHW", "NHWC")
# Operation -> which of its inputs has the order that its attribute data_format names; its output has it too.
_STATING = {
    **dict.fromkeys("Conv2D DepthwiseConv2dNative _FusedConv2D FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3".split(), 0),
    **dict.fromkeys("MaxPool AvgPool SpaceToDepth DepthToSpace".split(), 0),
    "Conv2DBackpropInput": 2,
    "DepthwiseConv2dNativeBackpropInput": 2,
}
_ALWAYS_NHWC = frozenset("ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea".split())
# Operations whose first input has their output's order. The attribute of a BiasAdd is not used: vectors have it too.
_KEEPING = frozenset(
    "Pad PadV2 MirrorPad Tile BroadcastTo BiasAdd Cast Slice ReverseV2 SpaceToBatchND BatchToSpaceND ReadVariableOp".split()
)
_REDUCING = frozenset("Mean Sum Max Min".split())

Permutation = tuple[int, ...]
_SAME: Permutation = (0, 1, 2, 3)


def orders(flow: Flow) -> dict[str, str]:
    """Node -> "NCHW" or "NHWC", for the nodes with four axes whose order can be found."""
    links: dict[str, list[tuple[str, Permutation]]] = {}
    for name in flow.inputs:
        for other, axes in _links(flow, name):
            links.setdefault(other, []).append((name, axes))
            links.setdefault(name, []).append((other, _inverse(axes)))
    found: dict[str, str] = {}
    _spread(flow, [pair for name in flow.inputs for pair in _stated(flow, name)], links, found)
    for name in flow.inputs:
        # A reshape from maps to maps keeps the channels first: for a filter each channel becomes a sample, for a grouped convolution all
        # samples become channels.
        if flow.graph.nodes[name].op == "Reshape" and _rank(flow, name) == 4 and found.get(name_of(flow.inputs[name][0])) == "NCHW":
            _spread(flow, [(name, "NCHW")], links, found)
    return {name: order for name, order in found.items() if order in ORDERS}


def _spread(flow: Flow, front: list[tuple[str, str]], links: dict[str, list[tuple[str, Permutation]]], found: dict[str, str]) -> None:
    """Passes orders on along the links, to nodes whose order is not known yet."""
    while front:
        name, order = front.pop()
        if name in found or _rank(flow, name) not in (None, 4):
            continue
        found[name] = order
        front += [(other, "".join(order[i] for i in axes)) for other, axes in links.get(name, ()) if other not in found]


def _stated(flow: Flow, name: str) -> Iterator[tuple[str, str]]:
    """The orders of an operation's output and input, where its attributes state them."""
    node = flow.graph.nodes[name]
    if node.op in _STATING or node.op in _ALWAYS_NHWC:
        order = node.attr["data_format"].s.decode() if "data_format" in node.attr else "NHWC"
        if order in ORDERS and flow.inputs[name]:
            yield name, order
            yield name_of(flow.inputs[name][_STATING.get(node.op, 0)]), order


def _links(flow: Flow, name: str) -> Iterator[tuple[str, Permutation]]:
    """(input, axes) for inputs whose order, permuted by `axes`, is the order of the node."""
    node, refs = flow.graph.nodes[name], [name_of(ref) for ref in flow.inputs[name]]
    if not refs:
        return
    if node.op == "Transpose":
        axes = array(flow.graph, flow.inputs[name][1])
        if axes is not None and sorted(axes.tolist()) == [0, 1, 2, 3]:
            yield refs[0], tuple(axes.tolist())
    elif node.op in _KEEPING or _keeps_axes(node) or (node.op in _REDUCING and "keep_dims" in node.attr and node.attr["keep_dims"].b):
        yield refs[0], _SAME
    elif node.op in POINTWISE or node.op in ("AddN", "ConcatV2", "Softmax"):
        yield from ((ref, _SAME) for ref in (refs[:-1] if node.op == "ConcatV2" else refs))


def _keeps_axes(node: Node) -> bool:
    """Whether a slice leaves every axis where it is."""
    masks = ("shrink_axis_mask", "new_axis_mask")
    return node.op == "StridedSlice" and not any(node.attr[mask].i for mask in masks if mask in node.attr)


def _inverse(axes: Permutation) -> Permutation:
    return tuple(axes.index(i) for i in range(len(axes)))


def _rank(flow: Flow, name: str) -> int | None:
    """The number of axes of a value, where its operation fixes it."""
    node = flow.graph.nodes[name]
    if node.op == "MatMul":
        return 2
    if node.op == "Reshape":
        return _length(flow, flow.inputs[name][1])
    if "shape" in node.attr and not node.attr["shape"].shape.unknown_rank and DTYPES.get(node.attr["dtype"].type) in FLOATS:
        return len(node.attr["shape"].shape.dim)  # a handle's shape is not its variable's
    if node.op == "Const" and "value" in node.attr:
        return len(node.attr["value"].tensor.tensor_shape.dim)
    return None


def _length(flow: Flow, ref: str) -> int | None:
    """The number of entries of a shape."""
    node: Node = flow.graph[ref]
    if node.op == "Pack":
        return len(node.inputs)
    value = array(flow.graph, ref)
    return None if value is None else int(value.size)
