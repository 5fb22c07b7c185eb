"""StyleGAN2's constants as a graph holds them: slope, gain, epsilons, filter, learning-rate multiplier, and how maps are flattened.

Each reader looks for one pattern of operations and yields every value that it finds. A constant is taken from the graph when all places
agree; else the default stays and the ledger says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from stylexport.converter.graph.constants import array, factor, fixed, operand, users
from stylexport.converter.graph.graph import PASS_THROUGH, RESHAPES, Graph, Node
from stylexport.converter.mapping.network import Fact

# From a graph to the values of one field in it, each with its node.
Reader = Callable[[Graph], Iterable[tuple[Any, str]]]

_ADD = ("Add", "AddV2")
_SUMS = (*_ADD, "AddN")
_SILENT = PASS_THROUGH | RESHAPES
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_BEFORE_A_KERNEL = PASS_THROUGH | RESHAPES | {"StridedSlice", "ReverseV2", "Cast", "Tile", "Transpose", "Mul"}
_LONGEST_FILTER = 8


def read(readers: Mapping[str, Reader], graphs: Iterable[Graph]) -> tuple[dict[str, Fact], dict[str, float], list[str]]:
    """The fields that all places agree on, the run-time coefficients of variables, and a remark for each disagreement.

    Graphs are read until every field is seen: a SavedModel holds one for each of its functions, most of them parts of the first.
    """
    seen: dict[str, dict[Any, str]] = {field: {} for field in readers}
    scales: dict[str, float] = {}
    for graph in graphs:
        for field, reader in readers.items():
            for value, place in reader(graph):
                seen[field].setdefault(value, place)
        scales = {**_coefficients(graph), **scales}
        if all(seen.values()):
            break
    read = {field: Fact(field, *next(iter(values.items()))) for field, values in seen.items() if len(values) == 1}
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
    """The input of an elementwise node that is neither a constant nor a variable."""
    return next((ref for ref in node.inputs if not fixed(graph, ref)), node.inputs[0])


# Activation and residual scale. A leaky ReLU is one operation or max(x, slope x); its gain is a factor before it, in both of its sides, or
# behind it. A block's scale is a factor behind its sum, or the same factor on both branches.


def slopes(graph: Graph) -> Iterator[tuple[float, str]]:
    """Every leaky ReLU's slope, and its node."""
    for node in graph.nodes.values():
        if (sides := _sides(graph, node)) is not None:
            yield sides[1] / sides[0], node.name


def gains(graph: Graph) -> Iterator[tuple[float, str]]:
    """Every leaky ReLU's gain where it has one, and the node of its last factor. A residual block's scale does not count."""
    for node in graph.nodes.values():
        if (sides := _sides(graph, node)) is None:
            continue
        gain, place = sides[0], node.name
        before = graph.source(node.inputs[0], _SILENT)
        if node.op == "LeakyRelu" and before is not None and (found := factor(graph, before)):
            gain, place = gain * found[1], before.name
        for user in users(graph, node):
            if (found := factor(graph, user)) and not _scales_a_branch(graph, user):
                gain, place = gain * found[1], user.name
                break
        if gain != 1:
            yield gain, place


def residual_scales(graph: Graph) -> Iterator[tuple[float, str]]:
    """Every factor behind a sum of data, or on both of its sides."""
    for node in graph.nodes.values():
        if (found := factor(graph, node)) and (_scales_a_branch(graph, node) or _is_sum(graph, found[0])):
            yield found[1], node.name


def _is_sum(graph: Graph, ref: str) -> bool:
    """Whether a value is a sum of nothing but data."""
    node = graph.source(ref, _SILENT)
    return node is not None and node.op in _SUMS and not any(fixed(graph, taken) for taken in node.inputs)


def _sides(graph: Graph, node: Node) -> tuple[float, float] | None:
    """The factors of a leaky ReLU for positive and for negative values; None for another operation."""
    if node.op == "LeakyRelu":
        return 1.0, float(node.attr["alpha"].f) if "alpha" in node.attr else 0.2
    if node.op != "Maximum" or len(node.inputs) != 2:
        return None
    (first, one), (second, other) = (_scaled(graph, ref) for ref in node.inputs)
    if first is None or first != second or one == other or min(one, other) < 0:
        return None
    return max(one, other), min(one, other)


def _scaled(graph: Graph, ref: str) -> tuple[str | None, float]:
    """The node behind a reference, or behind its scaling, and the factor."""
    node = graph.source(ref)
    found = factor(graph, node) if node is not None else None
    behind = graph.source(found[0]) if found else node
    return behind.name if behind is not None else None, found[1] if found else 1.0


def _scales_a_branch(graph: Graph, node: Node) -> bool:
    """Whether a scaled value goes into a sum whose other side is scaled by the same factor."""
    found = factor(graph, node)
    for user in users(graph, node):
        if found is not None and user.op in _SUMS and len(user.inputs) == 2:
            sides = [graph.source(ref, _SILENT) for ref in user.inputs]
            factors = [factor(graph, side) if side is not None else None for side in sides]
            if all(other is not None and other[1] == found[1] for other in factors):
                return True
    return False


# Epsilons and groups.


def _epsilons(graph: Graph, roots: Collection[str], of_weights: bool | None = None) -> Iterator[tuple[float, str]]:
    """Constants c of a root of x + c. Where weights are normalised, x depends on variables; where z is, it does not."""
    for node in graph.nodes.values():
        add = graph.source(node.inputs[0]) if node.op in roots else None
        found = operand(graph, add) if add is not None and add.op in _ADD else None
        if add is not None and found and of_weights in (None, _needs_variables(graph, found[0])):
            yield found[1], add.name


def _needs_variables(graph: Graph, ref: str) -> bool:
    """Whether a value is made of any variable."""
    front, seen = [ref], set[str]()
    while front:
        node = graph.get(front.pop())
        if node is None or node.name in seen:
            continue
        if node.name in graph.keys:
            return True
        seen.add(node.name)
        front += node.inputs
    return False


def _groups(graph: Graph) -> Iterator[tuple[float, str]]:
    for node in graph.nodes.values():
        if node.op == "Minimum" and (found := operand(graph, node)) and found[1] == int(found[1]):
            yield int(found[1]), node.name


# The filter by which images are resampled, in the convolutions that have a constant kernel.


def filters(graph: Graph) -> Iterator[tuple[tuple[float, ...], str]]:
    """The taps of every constant kernel that is one filter for all channels, in proportion: the smallest is 1.

    A square kernel is the outer product of its taps, or each axis has a convolution of its own. A convolution correlates, so that the
    filter is the flipped kernel.
    """
    for node in graph.nodes.values():
        if node.op in _CONVOLUTIONS and (found := _constant_kernel(graph, node)) is not None:
            value, flipped, place = found
            taps = _one_axis(value)
            if taps is not None and taps.sum() > 0:
                ratios = np.round(taps / np.abs(taps[taps != 0]).min(), 5)
                yield tuple(float(t) for t in (ratios if flipped else ratios[::-1])), place


def _constant_kernel(graph: Graph, conv: Node) -> tuple[Any, bool, str] | None:
    """The constant from which a convolution's kernel is made, whether it is flipped on the way, and its node."""
    node, flipped = graph.get(conv.inputs[1]), False
    for _ in range(32):
        if node is None:
            return None
        if node.op == "Const":
            value = array(graph, node.name)
            return (
                None if value is None or value.dtype.kind != "f" or value.size > 2**16 else (value.astype(np.float64), flipped, node.name)
            )
        if node.op not in _BEFORE_A_KERNEL or node.name in graph.keys:
            return None
        flipped ^= _flips(graph, node)
        constant = [ref for ref in node.inputs if (other := array(graph, ref)) is not None and other.size == 1] if node.op == "Mul" else []
        node = graph.get(next((ref for ref in node.inputs if ref not in constant), node.inputs[0]))
    return None


def _flips(graph: Graph, node: Node) -> bool:
    """Whether a node flips a kernel: some axis is read backwards."""
    if node.op == "ReverseV2":
        return True
    strides = array(graph, node.inputs[3]) if node.op == "StridedSlice" and len(node.inputs) > 3 else None
    return strides is not None and bool((strides < 0).any())


def _one_axis(value: Any) -> Any:
    """One axis of a filter [n], [n, n], [h, w, ...] or [..., h, w] that is the same for all channels; None for another kernel."""
    if value.ndim == 4:
        first = value.shape[0] > 1 or value.shape[1] > 1
        plane = value[:, :, 0, 0] if first and (value.shape[0] == value.shape[1] or 1 in value.shape[:2]) else value[0, 0]
    else:
        plane = value
    if plane.ndim == 2 and 1 in plane.shape:
        plane = plane.reshape(-1)
    if plane.ndim not in (1, 2) or not 2 <= plane.shape[0] <= _LONGEST_FILTER or len(set(plane.shape)) != 1:
        return None
    if plane.ndim == 1:
        return plane
    taps = plane.sum(axis=0)
    return taps if plane.sum() > 0 and np.allclose(np.outer(taps, taps) / plane.sum(), plane, rtol=1e-5, atol=0) else None


_SHARED: Mapping[str, Reader] = {"leaky_slope": slopes, "gain": gains, "fir": filters}
# For each network: field of its configuration -> reader, of the fields that a graph can tell.
GENERATOR: Mapping[str, Reader] = {
    **_SHARED,
    "normalize_epsilon": partial(_epsilons, roots=("Rsqrt", "Sqrt"), of_weights=False),
    "demodulation_epsilon": partial(_epsilons, roots=("Rsqrt", "Sqrt"), of_weights=True),
}
ENCODER: Mapping[str, Reader] = {**_SHARED, "residual_scale": residual_scales}
DISCRIMINATOR: Mapping[str, Reader] = {
    **ENCODER,
    "mbstd_epsilon": partial(_epsilons, roots=("Sqrt",)),
    "mbstd_group": _groups,
}
