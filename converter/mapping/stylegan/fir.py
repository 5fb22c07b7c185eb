"""The filter by which StyleGAN2 resamples, read from the convolutions that have a constant kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stylexport.converter.graph.constants import array
from stylexport.converter.graph.graph import PASS_THROUGH, RESHAPES, Graph, Node

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_TURNS = ("StridedSlice", "ReverseV2")
_ON_THE_WAY = PASS_THROUGH | RESHAPES | {*_TURNS, "Cast", "Tile", "Transpose", "Mul"}
_LONGEST = 8


def filters(graph: Graph) -> Iterator[tuple[tuple[float, ...], str]]:
    """The taps of every constant kernel that is one filter for all channels, in proportion: the smallest is 1.

    A square kernel is the outer product of its taps, or each axis has a convolution of its own. A convolution correlates, so that the
    filter is the kernel turned round.
    """
    for node in graph.nodes.values():
        if node.op in _CONVOLUTIONS and (found := _kernel(graph, node)) is not None:
            value, turned, place = found
            taps = _taps(value)
            if taps is not None and taps.sum() > 0:
                ratios = np.round(taps / np.abs(taps[taps != 0]).min(), 5)
                yield tuple(float(t) for t in (ratios if turned else ratios[::-1])), place


def _kernel(graph: Graph, conv: Node) -> tuple[Any, bool, str] | None:
    """The constant from which a convolution's kernel is made, whether it is turned round on the way, and its node."""
    node, turned = graph.get(conv.inputs[1]), False
    for _ in range(32):
        if node is None:
            return None
        if node.op == "Const":
            value = array(graph, node.name)
            return None if value is None or value.dtype.kind != "f" or value.size > 2**16 else (value.astype(np.float64), turned, node.name)
        if node.op not in _ON_THE_WAY or node.name in graph.keys:
            return None
        turned ^= _turns(graph, node)
        constant = [ref for ref in node.inputs if (other := array(graph, ref)) is not None and other.size == 1] if node.op == "Mul" else []
        node = graph.get(next((ref for ref in node.inputs if ref not in constant), node.inputs[0]))
    return None


def _turns(graph: Graph, node: Node) -> bool:
    """Whether a node turns a kernel round: some axis is read backwards."""
    if node.op == "ReverseV2":
        return True
    strides = array(graph, node.inputs[3]) if node.op == "StridedSlice" and len(node.inputs) > 3 else None
    return strides is not None and bool((strides < 0).any())


def _taps(value: Any) -> Any:
    """One axis of a filter [n], [n, n], [h, w, ...] or [..., h, w] that is the same for all channels; None where it is no such filter."""
    if value.ndim == 4:
        first = value.shape[0] > 1 or value.shape[1] > 1
        plane = value[:, :, 0, 0] if first and (value.shape[0] == value.shape[1] or 1 in value.shape[:2]) else value[0, 0]
    else:
        plane = value
    if plane.ndim == 2 and 1 in plane.shape:
        plane = plane.reshape(-1)
    if plane.ndim not in (1, 2) or not 2 <= plane.shape[0] <= _LONGEST or len(set(plane.shape)) != 1:
        return None
    if plane.ndim == 1:
        return plane
    taps = plane.sum(axis=0)
    return taps if plane.sum() > 0 and np.allclose(np.outer(taps, taps) / plane.sum(), plane, rtol=1e-5, atol=0) else None
