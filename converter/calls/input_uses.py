"""What a graph does first to each of its inputs: scales and shifts it, clips it, takes rows of a table by it.

An input is followed through operations that only move its numbers or multiply and shift them, up to the first that does more. Each such
end is a `Use`; `stylexport.converter.calls.ranges` concludes from the uses which numbers the input is meant to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stylexport.common.types import Array
from stylexport.converter.calls.fixed_values import FixedValues
from stylexport.converter.formats.savedmodel.functions import Function
from stylexport.converter.graph.dataflow import Flow, follow, name_of
from stylexport.converter.graph.graph import Node
from stylexport.converter.graph.layer_calls import plain
from stylexport.converter.graph.protos import DTYPES

# They move numbers, or leave some out, and change none (resizing keeps what it interpolates within the range).
_MOVING = frozenset(
    "Reshape Squeeze ExpandDims Transpose ReverseV2 StridedSlice Slice Split SplitV Unpack Pack ConcatV2 Concat Tile BroadcastTo Pad PadV2 "
    "MirrorPad SpaceToDepth DepthToSpace ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea CropAndResize IdentityN AvgPool "
    "Roll Switch Merge Floor Round Rint".split()
)
_LAST_KEPT = frozenset("ReverseV2 Tile Pad PadV2 MirrorPad ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea IdentityN".split())
_KEEPING = _LAST_KEPT - {"ReverseV2"}  # of these every channel stays where it is
_GATHERS = {"Gather": (0, 1), "GatherV2": (0, 1), "ResourceGather": (0, 1)}  # operation -> its operands with rows and indices
_COMPARING = frozenset("Equal NotEqual Greater GreaterEqual Less LessEqual".split())
_CHOOSING = ("Select", "SelectV2", "If", "StatelessIf")
_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_INTEGERS = ("uint8", "int8", "uint16", "int16")

ROWS, AFFINE, CLIP, COMPARED, NARROW, TRUTH = "rows", "affine", "clip", "compared", "narrow", "truth"


@dataclass(frozen=True)
class Use:
    """One end of an input's way: y = `scale` * x + `shift` of the input x, elementwise, came to `node`.

    `kind`: "rows" (y takes one of `low` to `high` rows), "clip" (y is cut to `low`..`high`), "compared" (with `low`), "narrow" (y becomes
    an integer of few bits), "truth" (y becomes a boolean), "affine" (anything else, where y is not x).
    """

    kind: str
    node: str
    scale: Array
    shift: Array
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class _Way:
    """y = scale * x + shift so far; `node` changed it last."""

    scale: Array
    shift: Array
    node: str = ""

    @property
    def single(self) -> bool:
        """Whether one scale and one shift hold for all elements."""
        return self.scale.size == 1 and self.shift.size == 1


def input_uses(function: Function, read: Callable[[str], Array]) -> dict[str, list[Use]]:
    """Input's name in the graph -> its uses, in order of execution. `read`: a variable's value by its checkpoint key."""
    flow = follow(function.graph, function.outputs, [given.name for given in function.inputs])
    fixed = FixedValues(flow, read)
    return {given.name: list(_uses(flow, fixed, given.name)) for given in function.inputs if given.name in flow.data}


def _uses(flow: Flow, fixed: FixedValues, start: str) -> Iterator[Use]:
    ways: dict[str, _Way] = {start: _Way(np.ones(()), np.zeros(()))}
    for name, refs in flow.inputs.items():
        node = flow.graph.nodes[name]
        for at, ref in enumerate(refs):
            way = ways.get(name_of(ref))
            if way is None or name == start:
                continue
            went_on = _went_on(flow, fixed, node, at, way)
            if went_on is not None:
                ways[name] = went_on
                continue
            for use in _ends(fixed, node, at, way):
                yield use
                if use.kind in (CLIP, NARROW):
                    ways[name] = way


def _went_on(flow: Flow, fixed: FixedValues, node: Node, at: int, way: _Way) -> _Way | None:
    """The way behind a node that moves, scales or shifts its operand number `at`; None behind any other."""
    refs = flow.inputs[node.name]
    if node.op == "Cast":
        return way if DTYPES.get(node.attr["DstT"].type) not in (*_INTEGERS, "bool") else None
    if node.op in _CHOOSING:  # a negative index becomes one from the end, an image is cut where it is larger: mostly it stays as it is
        return way if at and way.single else None
    if node.op in _MOVING and (at == 0 or node.op in ("Pack", "ConcatV2", "Split", "Concat")):
        if way.single or node.op in _KEEPING:
            return way
        return _reversed(fixed, node, refs, way) if node.op == "ReverseV2" else None
    if node.op in _GATHERS and at == 0:  # rows of the data itself, as a swap of channels
        return way if way.single else None
    if node.op == "Neg":
        return replace(way, scale=-way.scale, shift=-way.shift, node=node.name)
    if len(refs) != 2 or (node.op == "BiasAdd" and _is_first(node)):
        return None
    other = refs[1 - at]
    value = fixed.value(other)
    if value is None or node.op not in _ARITHMETIC:
        return None
    if fixed.of_variable(other) and (node.op not in ("Sub", "RealDiv", "Div") or at or (node.op != "Sub" and not way.shift.any())):
        return None  # a weight of a layer: preprocessing takes a mean away, and then divides
    try:
        scale, shift = _ARITHMETIC[node.op](way.scale, way.shift, value, at)
        np.broadcast_shapes(scale.shape, shift.shape)
    except ValueError:
        return None
    whole = np.isfinite(scale).all() and np.isfinite(shift).all() and scale.all()
    return _Way(_small(scale), _small(shift), node.name) if whole else None


def _is_first(node: Node) -> bool:
    """Whether a node's data have their channels first."""
    return "data_format" in node.attr and node.attr["data_format"].s.startswith(b"NC")


def _reversed(fixed: FixedValues, node: Node, refs: tuple[str, ...], way: _Way) -> _Way:
    """Channels in the other order: which numbers are a channel's is followed where only the last axis is turned."""
    axes = fixed.value(refs[1]) if len(refs) > 1 else None
    if axes is None or (axes.size == 1 and float(axes.flat[0]) not in (-1.0, 3.0)):
        return way
    return replace(way, scale=_flipped(way.scale), shift=_flipped(way.shift))


def _flipped(value: Array) -> Array:
    return value[..., ::-1] if value.ndim else value


def _small(value: Array) -> Array:
    """One number where all are the same."""
    return value.reshape(-1)[0].reshape(()) if value.size > 1 and (value == value.flat[0]).all() else value


_Affine = Callable[[Array, Array, Array, int], tuple[Array, Array]]
_ARITHMETIC: Mapping[str, _Affine] = {
    **dict.fromkeys(("Add", "AddV2", "BiasAdd"), lambda a, b, c, at: (a, b + c)),
    "Sub": lambda a, b, c, at: (a, b - c) if at == 0 else (-a, c - b),
    "Mul": lambda a, b, c, at: (a * c, b * c),
    **dict.fromkeys(("RealDiv", "Div"), lambda a, b, c, at: (a / c, b / c) if at == 0 else (np.zeros(()), b)),
}


def _ends(fixed: FixedValues, node: Node, at: int, way: _Way) -> Iterator[Use]:
    """What the node that ends a way says of it."""

    def use(kind: str, low: float = 0.0, high: float = 0.0, node: str = node.name) -> Use:
        return Use(kind, plain(node), way.scale, way.shift, low, high)

    flow = fixed.flow
    refs = flow.inputs[node.name]
    if node.op in _GATHERS and at == _GATHERS[node.op][1]:
        if (rows := _rows(fixed, node, refs)) is not None:
            yield use(ROWS, 0, rows - 1)
        return
    if node.op in ("OneHot", "DenseBincount", "Bincount") and at == 0 and (depth := _at_most(fixed, refs[1])) is not None:
        yield use(ROWS, 0, float(depth.flat[0]) - 1)
        return
    if node.op == "Cast":
        kind = DTYPES.get(node.attr["DstT"].type, "")
        if kind == "bool":
            yield use(TRUTH, 0, 1)
        else:
            limits = np.iinfo(kind)
            yield use(NARROW, float(limits.min), float(limits.max))
        return
    if node.op in _COMPARING and (value := fixed.value(refs[1 - at])) is not None and value.size == 1:
        yield use(COMPARED, float(value.flat[0]))
    elif (clip := _clip(fixed, node, at, refs)) is not None:
        yield use(CLIP, *clip)
        return
    if node.op in _NORMS and at == 0:
        scaled = _normalised(fixed, node, refs, way)
        yield Use(AFFINE, plain(node.name), *scaled) if scaled is not None else use(AFFINE, node=way.node or node.name)
        return
    if way.node:
        yield use(AFFINE, node=way.node)


def _rows(fixed: FixedValues, node: Node, refs: tuple[str, ...]) -> int | None:
    """How many rows the table of a Gather has."""
    axis = fixed.value(refs[2]) if len(refs) > 2 else np.zeros(())
    table = name_of(refs[0])
    if axis is None or table in fixed.flow.data:
        return None
    batch: Any = node.attr["batch_dims"].i if "batch_dims" in node.attr else 0
    value = fixed.value(refs[0])
    at = int(axis.flat[0]) or int(batch)
    return None if value is None or not -value.ndim <= at < value.ndim else value.shape[at]


def _at_most(fixed: FixedValues, ref: str) -> Array | None:
    """A number, or the one that another is cut to."""
    node = fixed.flow.graph.nodes[name_of(ref)]
    known = [fixed.value(other) for other in (fixed.flow.inputs[node.name] if node.op == "Minimum" else (ref,))]
    return next((value for value in known if value is not None and value.size == 1), None)


def _clip(fixed: FixedValues, node: Node, at: int, refs: tuple[str, ...]) -> tuple[float, float] | None:
    """The bounds of a clip, infinite on the side that has none."""
    bounds = [fixed.value(ref) for i, ref in enumerate(refs) if i != at]
    if any(bound is None or bound.size != 1 for bound in bounds):
        return None
    numbers = [float(bound.flat[0]) for bound in bounds if bound is not None]
    if node.op == "ClipByValue" and at == 0 and len(numbers) == 2:
        return numbers[0], numbers[1]
    if node.op == "Minimum" and len(numbers) == 1:
        return -np.inf, numbers[0]
    return (numbers[0], np.inf) if node.op == "Maximum" and len(numbers) == 1 else None


def _normalised(fixed: FixedValues, node: Node, refs: tuple[str, ...], way: _Way) -> tuple[Array, Array] | None:
    """Scale and shift behind a batch normalisation's own statistics, whose affine is a layer's weight; None where they say nothing."""
    mean, variance = (value if value is None or not _is_first(node) else value[:, None, None] for value in map(fixed.value, refs[3:5]))
    if mean is None or variance is None or mean.shape != variance.shape or (variance <= 0).any() or not mean.any():
        return None
    try:
        scale, shift = np.broadcast_arrays(way.scale / np.sqrt(variance), (way.shift - mean) / np.sqrt(variance))
    except ValueError:
        return None
    return scale, shift
