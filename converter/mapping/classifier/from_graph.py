"""A classifier's steps from its graph: walk from the output back to the input along the data, and read each operation.

Whatever the variables are called, the graph says what each is for: the second input of a convolution is its kernel, the inputs of a
FusedBatchNorm are gamma, beta, mean and variance, its attribute is epsilon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from stylexport.converter.graph.constants import array, operand, scalar
from stylexport.converter.graph.graph import PASS_THROUGH, Graph, Node
from stylexport.converter.graph.protos import DTYPES
from stylexport.converter.mapping.classifier.layer_chain import (
    Activation,
    BatchNorm,
    Bias,
    Conv,
    NotAChain,
    Pad,
    Pool,
    Reshape,
    Scale,
    Step,
)

_SILENT = PASS_THROUGH | {"Transpose", "Squeeze", "ExpandDims"}
_FLOATS = ("float16", "bfloat16", "float32", "float64")
# A Transpose's permutation -> the order of axes that it makes of the other one.
_ORDERS = {(0, 3, 1, 2): "NCHW", (0, 2, 3, 1): "NHWC"}
_ACTIVATIONS: Mapping[str, str] = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def read_steps(graph: Graph, output: str) -> tuple[list[Step], int | None]:
    """The steps from input to `output`, and the input's height where the graph holds it. Raises NotAChain."""
    data = _data_nodes(graph)
    steps: list[Step] = []
    ref, order = output, ""
    for _ in range(len(graph.nodes)):
        ref = _past_identities(graph, ref)
        node = graph.get(ref)
        if node is None:
            raise NotAChain(f"{ref} is not in the graph")
        if node.op in ("Placeholder", "Arg"):
            return steps[::-1], _height(node)
        order = _order(graph, node, order)
        found, ref = _step(graph, node, data)
        if found is not None:
            steps.append(found)
    raise NotAChain("the graph runs in a circle")


def _data_nodes(graph: Graph) -> set[str]:
    """The nodes whose values depend on the input image (not only on its shape)."""
    reached = {name for name, node in graph.nodes.items() if node.op in ("Placeholder", "Arg") and name not in graph.keys}
    front = list(reached)
    while front:
        for user in graph.consumers.get(front.pop(), []):
            if user.name not in reached and user.op not in ("Shape", "ShapeN", "Size", "Rank"):
                reached.add(user.name)
                front.append(user.name)
    return reached


def _order(graph: Graph, node: Node, behind: str) -> str:
    """The order of axes (NHWC, NCHW, "" where nothing says) that `node` takes, where what follows it takes `behind`."""
    if node.op == "Transpose":
        axes = array(graph, node.inputs[1])
        made = _ORDERS.get(tuple(axes.tolist()) if axes is not None else ())
        if made is None or behind not in ("", made):
            raise NotAChain(f"{node.name} permutes the map's axes otherwise than between NHWC and NCHW")
        return "NCHW" if made == "NHWC" else "NHWC"
    if node.op not in _CONVOLUTIONS:
        return behind
    own = "NCHW" if "data_format" in node.attr and node.attr["data_format"].s == b"NCHW" else "NHWC"
    if behind not in ("", own):
        raise NotAChain(f"{node.name} makes an {own} map for a layer that takes {behind}")
    return own


def _step(graph: Graph, node: Node, data: set[str]) -> tuple[Step | None, str]:
    """The step that `node` is (None for one that changes no values), and the input to go on with."""
    inputs = [ref for ref in node.inputs if ref.split(":")[0] in data]
    if not inputs:
        raise NotAChain(f"{node.op} {node.name} does not depend on the image")
    if node.op in _SILENT:
        return None, inputs[0]
    if node.op == "Mul" and len(inputs) == 2:
        return _swish(graph, inputs)
    if len(inputs) > 1:
        raise NotAChain(f"{node.op} {node.name} joins two branches")
    if node.op in _ACTIVATIONS:
        return Activation(_ACTIVATIONS[node.op]), inputs[0]
    reader = _READERS.get(node.op)
    if reader is None:
        raise NotAChain(f"{node.op} {node.name} is not a step of a MobileNetV1")
    return reader(graph, node, inputs[0])


def _past_identities(graph: Graph, ref: str) -> str:
    """What `ref` stands for behind IdentityN, which TensorFlow puts around operations with a gradient of their own (swish)."""
    for _ in range(len(graph.nodes)):
        node, output = graph.get(ref), int(ref.rsplit(":", 1)[1]) if ":" in ref else 0
        if node is None or node.op != "IdentityN" or output >= len(node.inputs):
            return ref
        ref = node.inputs[output]
    raise NotAChain("the graph runs in a circle")


def _swish(graph: Graph, inputs: list[str]) -> tuple[Step, str]:
    """Swish: x * sigmoid(x), or x * sigmoid(1.0 * x) as tf.nn.silu writes it."""
    for gate, value in (inputs, inputs[::-1]):
        node = graph.source(gate)
        if node is None or node.op != "Sigmoid":
            continue
        inner = graph.source(node.inputs[0])
        scaled = operand(graph, inner) if inner is not None and inner.op == "Mul" else None
        gated = scaled[0] if scaled is not None and scaled[1] == 1.0 else node.inputs[0]
        if gated.split(":")[0] == value.split(":")[0]:
            return Activation("swish"), value
    raise NotAChain(f"Mul of {inputs[0]} and {inputs[1]} joins two branches")


def _conv(graph: Graph, node: Node, ref: str, depthwise: bool) -> tuple[Conv, str]:
    nchw = node.attr["data_format"].s == b"NCHW" if "data_format" in node.attr else False

    def spatial(name: str) -> tuple[int, int]:
        values = list(node.attr[name].list.i) if name in node.attr else []
        return (values[2], values[3]) if nchw and len(values) == 4 else (values[1], values[2]) if len(values) == 4 else (1, 1)

    padding: str | tuple[int, int, int, int] = node.attr["padding"].s.decode().lower()
    if padding == "explicit":
        sides = list(node.attr["explicit_paddings"].list.i)
        top, bottom, left, right = sides[4:8] if nchw else sides[2:6]
        padding = (top, bottom, left, right)
    kernel = _key(graph, node.inputs[1], node)
    return Conv(kernel, depthwise, spatial("strides"), spatial("dilations"), padding), ref


def _dilated(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    """A dilated convolution as TensorFlow writes it: SpaceToBatchND, a VALID convolution, BatchToSpaceND that crops what is over."""
    conv = graph.source(ref)
    before = graph.source(conv.inputs[0]) if conv is not None and conv.op in _CONVOLUTIONS else None
    if conv is None or before is None or before.op != "SpaceToBatchND":
        raise NotAChain(f"{node.op} {node.name} is not a step of a MobileNetV1")
    step, _ = _conv(graph, conv, conv.inputs[0], depthwise=conv.op != "Conv2D")
    blocks, pads, crops = array(graph, before.inputs[1]), array(graph, before.inputs[2]), array(graph, node.inputs[2])
    if blocks is None or pads is None or crops is None or blocks.shape != (2,) or step.padding != "valid" or step.stride != (1, 1):
        raise NotAChain(f"the dilation of {conv.name} is not one of height and width that the graph holds as constants")
    top, bottom, left, right = (int(n) for n in (pads - crops).reshape(-1))
    return replace(step, dilation=(int(blocks[0]), int(blocks[1])), padding=(top, bottom, left, right)), before.inputs[0]


def _matmul(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    if node.attr["transpose_a"].b or node.attr["transpose_b"].b:
        raise NotAChain(f"{node.name} multiplies by a transposed weight")
    return Conv(_key(graph, node.inputs[1], node), padding="valid", dense=True), ref


def _key(graph: Graph, ref: str, node: Node) -> str:
    key = graph.variable(ref)
    if key is None:
        raise NotAChain(f"a weight of {node.op} {node.name} is not a variable but a computed value")
    return key


def _pad(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    table = array(graph, node.inputs[1])
    if table is None or table.shape != (4, 2) or table[0].any():
        raise NotAChain(f"{node.name} pads other axes than height and width")
    if len(node.inputs) > 2 and scalar(graph, node.inputs[2]) != 0:
        raise NotAChain(f"{node.name} pads with something else than zeros")
    rows = (table[1], table[2]) if not table[3].any() else (table[2], table[3])
    return Pad((int(rows[0][0]), int(rows[0][1]), int(rows[1][0]), int(rows[1][1]))), ref


def _fused_norm(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    if "is_training" in node.attr and node.attr["is_training"].b:
        raise NotAChain(f"{node.name} normalises by the batch (a training graph)")
    epsilon = float(node.attr["epsilon"].f) if "epsilon" in node.attr else 1e-4
    gamma, beta, mean, variance = (graph.variable(node.inputs[i]) for i in range(1, 5))
    if mean is None or variance is None:
        raise NotAChain(f"the moments of {node.name} are not variables")
    for key, neutral, what in ((gamma, 1.0, "gamma"), (beta, 0.0, "beta")):
        if key is None:
            values = array(graph, node.inputs[1 if what == "gamma" else 2])
            filled = graph.source(node.inputs[1 if what == "gamma" else 2])
            if (values is None or (values != neutral).any()) and (filled is None or filled.op not in ("Fill", "OnesLike", "ZerosLike")):
                raise NotAChain(f"{what} of {node.name} is neither a variable nor {neutral}")
    return BatchNorm(epsilon, gamma, beta, mean, variance), ref


def _add(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    """A bias, a shift of the input, or the second half of an unfused normalisation: x * s + (beta - mean * s)."""
    if node.op == "Sub" and node.inputs[0] != ref:
        if (value := scalar(graph, node.inputs[0])) is None:
            raise NotAChain(f"{node.name} subtracts the map from more than one number")
        return Scale(-1.0, value), ref
    other = next(r for r in node.inputs if r != ref) if len(set(node.inputs)) == 2 else ""
    if key := graph.variable(other):
        return Bias(key), ref
    if (value := scalar(graph, other)) is not None:
        return Scale(1.0, value if node.op != "Sub" else -value), ref
    scaled, offset = graph.source(ref), graph.source(other)
    if scaled is not None and scaled.op == "Mul" and offset is not None and offset.op in ("Sub", "Neg", "Mul"):
        return _unfused_norm(graph, scaled, offset)
    raise NotAChain(f"{node.op} {node.name} adds a computed value")


def _unfused_norm(graph: Graph, scaled: Node, offset: Node) -> tuple[Step, str]:
    """tf.nn.batch_normalization: x * (gamma * rsqrt(variance + epsilon)) + (beta - mean * (the same)), without beta -mean * (the same)."""
    beta = graph.variable(offset.inputs[0]) if offset.op == "Sub" else None
    shift = offset if offset.op == "Mul" else graph.source(offset.inputs[-1])
    subtracted = partial(_negated, graph) if offset.op == "Mul" else graph.variable
    factor_names = {(graph.source(r) or scaled).name for r in scaled.inputs}
    if shift is None or shift.op != "Mul":
        raise NotAChain(f"{offset.name} is not part of a normalisation")
    mean = next((key for r in shift.inputs if (key := subtracted(r))), None)
    factor = next((n for r in shift.inputs if (n := graph.source(r)) is not None and n.name in factor_names), None)
    gamma = None
    rsqrt = factor
    if factor is not None and factor.op == "Mul":
        gamma = next((key for r in factor.inputs if (key := graph.variable(r))), None)
        rsqrt = next((n for r in factor.inputs if (n := graph.source(r)) is not None and n.op == "Rsqrt"), None)
    total = graph.source(rsqrt.inputs[0]) if rsqrt is not None and rsqrt.op == "Rsqrt" else None
    found = operand(graph, total) if total is not None else None
    variance = graph.variable(found[0]) if found else None
    if mean is None or variance is None or found is None or factor is None:
        raise NotAChain(f"{scaled.name} and {offset.name} are not a normalisation")
    data = next(r for r in scaled.inputs if (graph.source(r) or scaled).name != factor.name)
    return BatchNorm(found[1], gamma, beta, mean, variance), data


def _negated(graph: Graph, ref: str) -> str | None:
    """The key of the variable whose negative `ref` is."""
    node = graph.source(ref)
    return graph.variable(node.inputs[0]) if node is not None and node.op == "Neg" else None


def _times(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    value = next((v for r in node.inputs if r != ref and (v := scalar(graph, r)) is not None), None)
    if value is None or (node.op == "RealDiv" and (node.inputs[0] != ref or value == 0)):
        raise NotAChain(f"{node.op} {node.name} multiplies by more than one number")
    return Scale(1 / value if node.op == "RealDiv" else value, 0.0), ref


def _mean(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    axes = array(graph, node.inputs[1])
    if axes is None or sorted(axes.reshape(-1).tolist()) not in ([1, 2], [2, 3]):
        raise NotAChain(f"{node.name} averages over other axes than height and width")
    return Pool(), ref


def _average(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    window = list(node.attr["ksize"].list.i)
    return Pool(window[2] if node.attr["data_format"].s == b"NCHW" else window[1]), ref


def _reshape(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    return Reshape(), ref


def _cast(graph: Graph, node: Node, ref: str) -> tuple[Step | None, str]:
    if DTYPES.get(node.attr["DstT"].type) not in _FLOATS:
        raise NotAChain(f"{node.name} rounds to whole numbers")
    return None, ref


def _leaky(graph: Graph, node: Node, ref: str) -> tuple[Step, str]:
    return Activation("leaky_relu", float(node.attr["alpha"].f) if "alpha" in node.attr else 0.2), ref


_READERS: Mapping[str, Callable[[Graph, Node, str], tuple[Step | None, str]]] = {
    "Conv2D": partial(_conv, depthwise=False),
    "DepthwiseConv2dNative": partial(_conv, depthwise=True),
    "BatchToSpaceND": _dilated,
    "MatMul": _matmul,
    "Pad": _pad,
    "PadV2": _pad,
    "BiasAdd": _add,
    "Add": _add,
    "AddV2": _add,
    "Sub": _add,
    "Mul": _times,
    "RealDiv": _times,
    "Mean": _mean,
    "AvgPool": _average,
    "LeakyRelu": _leaky,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Cast": _cast,
    **dict.fromkeys(_NORMS, _fused_norm),
}


def _height(node: Node) -> int | None:
    if "shape" not in node.attr:
        return None
    dims = [dim.size for dim in node.attr["shape"].shape.dim]
    spatial = dims[1:3] if len(dims) == 4 and dims[3] in (1, 3, 4) else dims[2:4]
    return spatial[0] if len(spatial) == 2 and spatial[0] > 0 else None
