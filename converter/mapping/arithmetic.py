"""StyleGAN2's constants as the graph has them: slope, gain, epsilons, filter, learning-rate multiplier.

Each reader looks for one shape of computation and gives every value it finds; a constant is taken from the graph when all places agree,
else the default stays and the ledger says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from converter.artefacts.graph import Graph, Node
from converter.artefacts.graphdef import decode_tensor
from converter.artefacts.protos import DTYPES

_ADD = ("Add", "AddV2")
_CAST_TO = ("float16", "float32", "float64", "int32", "int64")


@dataclass(frozen=True)
class Read:
    """One field of a configuration that the graph told: its value, and where it stood."""

    value: Any
    source: str


def scalar(graph: Graph, ref: str) -> float | None:
    """The value of the one-element numeric constant behind `ref`, None where it is none."""
    value = array(graph, ref)
    return float(value.reshape(())) if value is not None and value.size == 1 else None


def array(graph: Graph, ref: str) -> Any:
    """The numeric constant behind `ref`, at most cast, as an array; None where it is none."""
    node = graph.source(ref)
    if node is not None and node.op == "Cast" and (dtype := DTYPES.get(node.attr["DstT"].type)) in _CAST_TO:
        value = array(graph, node.inputs[0])
        return None if value is None else value.astype(dtype)
    tensor = graph.constant(ref)
    if tensor is None or DTYPES.get(tensor.dtype) in (None, "string", "bool", "complex64", "complex128"):
        return None
    return decode_tensor(tensor, "graph constant")


def operand(graph: Graph, node: Node) -> tuple[str, float] | None:
    """Of a binary node with one scalar constant: the other input, and the constant."""
    if len(node.inputs) != 2:
        return None
    for data, other in (node.inputs, node.inputs[::-1]):
        if (value := scalar(graph, other)) is not None and scalar(graph, data) is None:
            return data, value
    return None


def _slopes(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        if node.op == "LeakyRelu":
            yield float(node.attr["alpha"].f) if "alpha" in node.attr else 0.2, node.name


def _gains(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        if node.op == "LeakyRelu":
            for user in graph.consumers.get(node.name, []):
                if user.op == "Mul" and (found := operand(graph, user)):
                    yield found[1], user.name


def _residual_scales(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        if node.op == "Mul" and (found := operand(graph, node)):
            total = graph.source(found[0])
            if total is not None and total.op in _ADD and all(not _fixed(graph, ref) for ref in total.inputs):
                yield found[1], node.name


def _fixed(graph: Graph, ref: str) -> bool:
    """Whether a value is a constant or a variable, at most reshaped or scaled."""
    node = graph.source(ref)
    for _ in range(8):
        if node is None or node.op == "Const" or node.name in graph.keys:
            return node is not None
        if node.op not in ("Reshape", "Mul", "Transpose", "ExpandDims", "Cast", "Squeeze") or not node.inputs:
            return False
        node = graph.source(node.inputs[0])
    return False


def _rsqrt_epsilons(graph: Graph, of_mean: bool) -> Iterator[tuple[float, str]]:
    """Constants c of rsqrt(x + c): x is a mean where z is normalised, something else (a sum, a product) where weights are."""
    for node in graph.nodes.values():
        if node.op == "Rsqrt" and (add := graph.source(node.inputs[0])) is not None and add.op in _ADD:
            found = operand(graph, add)
            reduced = graph.source(found[0]) if found else None
            if found and reduced is not None and (reduced.op == "Mean") == of_mean:
                yield found[1], add.name


def _stddev_epsilons(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        add = graph.source(node.inputs[0]) if node.op == "Sqrt" else None
        if add is not None and add.op in _ADD and (found := operand(graph, add)):
            yield found[1], add.name


def _groups(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        if node.op == "Minimum" and (found := operand(graph, node)) and found[1] == int(found[1]):
            yield int(found[1]), node.name


def _filters(graph: Graph) -> Iterator[tuple[tuple[float, ...], str]]:
    """Small square filters [n, n] (other axes of one or repeats), as the one axis of which they are the outer product."""
    for node in graph.nodes.values():
        if node.op != "Const" or "value" not in node.attr or DTYPES.get(node.attr["value"].tensor.dtype) not in ("float32", "float64"):
            continue
        shape = [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
        if len(shape) not in (2, 4) or math.prod(shape) > 2**16:
            continue
        if len(shape) == 4 and shape[0] != shape[1]:
            shape, first = shape[2:], True
        else:
            first = False
        if shape[0] != shape[1] or not 2 <= shape[0] <= 8:
            continue
        value = np.asarray(decode_tensor(node.attr["value"].tensor, node.name), np.float64)
        kernel = value if value.ndim == 2 else value[0, 0] if first else value[:, :, 0, 0]
        taps = kernel.sum(axis=0)
        if kernel.sum() <= 0 or not np.allclose(np.outer(taps, taps) / kernel.sum(), kernel, rtol=1e-5, atol=0):
            continue
        ratios = taps / np.abs(taps[taps != 0]).min()
        yield tuple(float(t) for t in np.round(ratios[::-1], 5)), node.name  # stored turned round, for a correlation


# field -> reader; the fields of each network's configuration that a graph can tell
_SHARED: Mapping[str, Callable[[Graph], Iterable[tuple[Any, str]]]] = {"leaky_slope": _slopes, "gain": _gains, "fir": _filters}
READERS: Mapping[str, Mapping[str, Callable[[Graph], Iterable[tuple[Any, str]]]]] = {
    "generator": {
        **_SHARED,
        "normalize_epsilon": partial(_rsqrt_epsilons, of_mean=True),
        "demodulation_epsilon": partial(_rsqrt_epsilons, of_mean=False),
    },
    "encoder": {**_SHARED, "residual_scale": _residual_scales},
    "discriminator": {
        **_SHARED,
        "residual_scale": _residual_scales,
        "mbstd_epsilon": _stddev_epsilons,
        "mbstd_group": _groups,
    },
}


def read(network: str, graphs: Iterable[Graph]) -> tuple[dict[str, Read], dict[str, float], list[str]]:
    """The fields that all places agree on, the run-time coefficients of variables, and a remark for each disagreement.

    Graphs are read until every field is seen: a SavedModel holds one for each of its functions, most of them parts of the first.
    """
    seen: dict[str, dict[Any, str]] = {field: {} for field in READERS[network]}
    scales: dict[str, float] = {}
    for graph in graphs:
        for field, reader in READERS[network].items():
            for value, place in reader(graph):
                seen[field].setdefault(value, place)
        scales = {**_coefficients(graph), **scales}
        if all(seen.values()):
            break
    read = {field: Read(*next(iter(values.items()))) for field, values in seen.items() if len(values) == 1}
    remarks = [
        f"{field}: the graph has {len(values)} values ({', '.join(f'{v} at {p}' for v, p in list(values.items())[:3])}); the default stays"
        for field, values in seen.items()
        if len(values) > 1
    ]
    return read, scales, remarks


def _coefficients(graph: Graph) -> dict[str, float]:
    """Checkpoint key -> the scalar constant that the graph multiplies that variable by (run-time weight scaling)."""
    found: dict[str, float] = {}
    for node in graph.nodes.values():
        if node.op == "Mul" and (pair := operand(graph, node)) and (key := graph.variable(pair[0])):
            found.setdefault(key, pair[1])
    return found


def flattens_hwc(graph: Graph) -> bool:
    """Whether a map is flattened as [h, w, c] before a dense layer: an NHWC convolution comes before the Reshape, no Transpose between."""
    for node in graph.nodes.values():
        if node.op != "MatMul":
            continue
        ref, flat = node.inputs[0], False
        for _ in range(32):
            before = graph.get(ref)
            if before is None or not before.inputs or before.op in ("Transpose", "MatMul"):
                break
            if before.op == "Conv2D":
                if flat and before.attr["data_format"].s != b"NCHW":
                    return True
                break
            flat = flat or before.op in ("Reshape", "Flatten")
            ref = _data_input(graph, before)
    return False


def _data_input(graph: Graph, node: Node) -> str:
    """The input of an elementwise node that is no constant and no variable."""
    return next((ref for ref in node.inputs if not _fixed(graph, ref)), node.inputs[0])
