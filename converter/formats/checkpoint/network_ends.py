"""Which part of a training program's graph is the network: its outputs, told from losses, gradients, updates and summaries.

A TensorFlow 1 graph does not say what its outputs are. The network begins at the placeholders that a layer takes (an operation with one
of the weights), and ends where nothing goes on but what training adds: a loss takes a placeholder that no layer takes (the labels),
gradients lie in scopes of that name, updates assign.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import reduce
from operator import or_

from stylexport.converter.graph.constants import array
from stylexport.converter.graph.dataflow import SHAPE_ONLY
from stylexport.converter.graph.graph import PASS_THROUGH, RESHAPES, Graph, Node, name_of

PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_UPDATES = re.compile(
    r"(Resource)?(Sparse)?(Apply|Scatter|Assign)\w*|Assign\w*|Save\w*|Restore\w*|Print\w*|Assert|\w*Summary\w*|\w*Enqueue\w*"
)
_GRADIENTS = re.compile(r"(^|/)gradients(_\d+)?/")
_GRADIENT_OPS = re.compile(r"\w+Grad(V\d)?|\w+BackpropFilter(V\d)?")  # BackpropInput is a transposed convolution, too
# What no network is asked for, and takes nothing of its inputs' values on.
_NO_ENDS = frozenset("Shape ShapeN Size Rank ArgMax ArgMin NoOp Equal NotEqual Less Greater GreaterEqual LessEqual TopK TopKV2".split())
_ACTIVATIONS = frozenset(
    """Identity Sigmoid Tanh Softmax LogSoftmax Relu Relu6 Elu Selu Softplus LeakyRelu ResizeBilinear
    ResizeNearestNeighbor DepthToSpace Transpose""".split()
)


def network_ends(graph: Graph, weights: Collection[str]) -> tuple[str, ...]:
    """The network's outputs in the order of the graph; none where it has no placeholder that a layer takes.

    They are what nothing takes, not even a loss (a softmax); and of weights behind which there is no such end, the first operation that
    all of them have gone into (the logits). `weights`: the keys of the variables that are a network's own, not an optimiser's.
    """
    own = {node for node, key in graph.keys.items() if key in weights}
    order = [node for node in _in_order(graph) if not _of_training(node)]
    fed, layers = _follow(graph, order, own)
    inputs = {name for node in layers for name in fed[node]}
    inside = [node for node in order if fed.get(node.name) and fed[node.name] <= inputs and node.op not in PLACEHOLDERS]
    inside = _before_losses(graph, inside, layers)
    updates = _only_updates(graph, inside)
    useful = [node.name for node in inside if node.name not in updates and node.op not in _NO_ENDS]
    gone_in = _weights_behind(order, own)
    ends = {name for name in useful if gone_in[name] and not _goes_on(graph, graph[name], updates)}
    # What stops half-way (a variance that nobody asked for) is no output.
    ends = {name for name in ends if not any(gone_in[name] != gone_in[end] == gone_in[name] | gone_in[end] for end in ends)}
    missing = _union(gone_in[name] for name in useful) & ~_union(gone_in[name] for name in ends)
    while missing:
        best = max(useful, key=lambda name: (gone_in[name] & missing).bit_count())  # the first of several
        ends.add(_activated(graph, best, set(useful)))
        missing &= ~gone_in[best]
    return tuple(name for name in useful if name in ends)


def _before_losses(graph: Graph, inside: list[Node], layers: set[str]) -> list[Node]:
    """The nodes but for losses without labels (an autoencoder's): what is summed over the samples, and no layer takes."""
    to_layer: set[str] = set()
    for node in reversed(inside):
        if node.name in layers or any(user.name in to_layer for user in graph.consumers.get(node.name, ())):
            to_layer.add(node.name)
    lost: set[str] = set()
    for node in inside:
        if node.name not in to_layer and (_sums_samples(graph, node) or any(name_of(ref) in lost for ref in node.inputs)):
            lost.add(node.name)
    return [node for node in inside if node.name not in lost]


def _sums_samples(graph: Graph, node: Node) -> bool:
    axes = array(graph, node.inputs[1]) if node.op in ("Sum", "Mean") and len(node.inputs) > 1 else None
    return axes is not None and bool((axes == 0).any())


def _activated(graph: Graph, name: str, useful: set[str]) -> str:
    """The node behind `name`, as long as one operation without weights alone takes it; no change of shape, which a loss begins with."""
    end = name
    for _ in range(len(useful)):  # a damaged graph may run in a circle
        users = {user.name: user for user in graph.consumers.get(name, ()) if user.name in useful}
        if len(users) != 1 or (user := next(iter(users.values()))).op not in _ACTIVATIONS | RESHAPES:
            return end
        name = user.name
        end = name if user.op not in RESHAPES else end
    return end


def _union(sets: Iterable[int]) -> int:
    return reduce(or_, sets, 0)


def _goes_on(graph: Graph, node: Node, updates: set[str]) -> bool:
    """Whether anything but training and what is no end takes the node's value."""
    users = graph.consumers.get(node.name, ())
    return any(not _of_training(user) and user.name not in updates and user.op not in _NO_ENDS for user in users)


def _weights_behind(order: list[Node], own: set[str]) -> dict[str, int]:
    """Node -> the weights that it depends on, a bit each."""
    bits = {name: 1 << place for place, name in enumerate(sorted(own))}
    found: dict[str, int] = {}
    for node in order:
        found[node.name] = bits.get(node.name, 0) or _union(found.get(name_of(ref), 0) for ref in _values(node))
    return found


def _of_training(node: Node) -> bool:
    return bool(_UPDATES.fullmatch(node.op) or _GRADIENTS.search(node.name) or _GRADIENT_OPS.fullmatch(node.op))


def _values(node: Node) -> tuple[str, ...]:
    """The references whose values go into a node's own."""
    return () if node.op in SHAPE_ONLY else node.inputs


def _follow(graph: Graph, order: list[Node], own: set[str]) -> tuple[dict[str, frozenset[str]], set[str]]:
    """Node -> the placeholders that it depends on; and the nodes that are layers, which take one of these and a weight."""
    fed: dict[str, frozenset[str]] = {}
    layers: set[str] = set()
    for node in order:
        before = (fed.get(name_of(ref), frozenset()) for ref in _values(node))
        fed[node.name] = frozenset((node.name,)) if node.op in PLACEHOLDERS else frozenset[str]().union(*before)
        if fed[node.name] and any(_is_weight(graph, ref, own) for ref in node.inputs):
            layers.add(node.name)
    return fed, layers


def _is_weight(graph: Graph, ref: str, own: set[str]) -> bool:
    node = graph.source(ref, PASS_THROUGH | RESHAPES | {"Cast", "Switch", "RefSwitch"})
    return node is not None and node.name in own


def _only_updates(graph: Graph, inside: list[Node]) -> set[str]:
    """Nodes whose values go into updates alone: the differences that moving averages add."""
    found: set[str] = set()
    for node in reversed(inside):
        users = graph.consumers.get(node.name, ())
        into = any(_UPDATES.fullmatch(user.op) or user.name in found for user in users)
        if into and all(_of_training(user) or user.name in found for user in users):
            found.add(node.name)
    return found


def _in_order(graph: Graph) -> list[Node]:
    """The nodes, each after its inputs; of a loop, in any order."""
    order: list[Node] = []
    seen: set[str] = set()
    for name in graph.nodes:
        stack = [(name, False)]
        while stack:
            at, entered = stack.pop()
            if entered:
                order.append(graph.nodes[at])
            elif at not in seen and at in graph.nodes:
                seen.add(at)
                stack.append((at, True))
                stack += [(name_of(ref), False) for ref in reversed(graph.nodes[at].inputs)]
    return order
