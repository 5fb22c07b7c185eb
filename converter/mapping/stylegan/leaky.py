"""The leaky ReLU of StyleGAN2 and the scale of its residual blocks, however a graph writes them.

A leaky ReLU is one operation or max(x, slope x); its gain is a factor before it, in both of its sides, or behind it. A block's scale is a
factor behind its sum, or the same factor on both branches.
"""

from __future__ import annotations

from collections.abc import Iterator

from stylexport.converter.graph.constants import factor, fixed, users
from stylexport.converter.graph.graph import PASS_THROUGH, RESHAPES, Graph, Node

ADD = ("Add", "AddV2")
_SUMS = (*ADD, "AddN")
_SILENT = PASS_THROUGH | RESHAPES


def slopes(graph: Graph) -> Iterator[tuple[float, str]]:
    """Every leaky ReLU's slope, and its node."""
    for node in graph.nodes.values():
        if (sides := _sides(graph, node)) is not None:
            yield sides[1] / sides[0], node.name


def gains(graph: Graph) -> Iterator[tuple[float, str]]:
    """Every leaky ReLU's gain where it has one, and the node of its last factor; a residual block's scale is none."""
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
    """Whether what a factor gives goes into a sum whose other side has the same factor."""
    found = factor(graph, node)
    for user in users(graph, node):
        if found is not None and user.op in _SUMS and len(user.inputs) == 2:
            sides = [graph.source(ref, _SILENT) for ref in user.inputs]
            factors = [factor(graph, side) if side is not None else None for side in sides]
            if all(other is not None and other[1] == found[1] for other in factors):
                return True
    return False
