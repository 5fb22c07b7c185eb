"""Taps: which tensors of the original graph answer for which layer of the port.

A layer is found by its variables, which the mapping knows, and by where they enter the data (layer_calls.py); names of nodes decide
nothing. The other tensors that a known network's port exposes (the sums of a block, the statistics of a minibatch) are found from the
places of its layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stylexport.converter.graph.axes import orders
from stylexport.converter.graph.dataflow import END, Flow, follow, name_of, resolve
from stylexport.converter.graph.graph import Graph
from stylexport.converter.graph.layer_calls import LayerCall, layer_calls, plain
from stylexport.converter.graph.pointwise import SUMS, chain, factor, past_silent
from stylexport.converter.graph.rounding import units, upstream

PARAMETERS, RECURRENCE, STATE, PIECE = "parameters", "recurrence", "state", "piece"
ACTIVATION, JOIN, VARIABLE, OUTPUT = "activation", "join", "variable", "output"
_STAGES = (VARIABLE, PIECE, PARAMETERS, RECURRENCE, STATE, ACTIVATION, JOIN, OUTPUT)
_JOINS = (*SUMS, "ConcatV2")
_COARSE = ("float16", "bfloat16")
_LAYING_OUT = ("Transpose", "Pad", "PadV2", "MirrorPad")


@dataclass(frozen=True)
class Tap:
    """A tensor of the graph that a layer answers for.

    `layer` is the module's path in PyTorch ("synthesis.b64.conv0"), "" where no mapping names one, "output" for what the function
    returns. `stage`: "parameters" where all of the layer's variables have gone in, "activation" after its activation, "join"
    where branches meet, "variable" a variable's own value, "output". `declared`: a layer of the port must answer for it. `tf` is the
    scope in TensorFlow; `node` the reference in the graph, `op` its operation; `layout` "NCHW", "NHWC" or ""
    (unknown, or not four axes). `constants` counts the constants before it that are rounded to float32, `coarse_constants` those to 16
    bits; `unit` is the unit of rounding of the coarsest arithmetic before it. `constants_alone` and `coarse_constants_alone` count those
    that come in behind the layers of a custom network before it: what the layer, fed with their right values, may still be off by.
    `piece` numbers a piece in the order in which the layer joins them, from 1.
    """

    layer: str
    stage: str
    declared: bool
    tf: str
    node: str
    op: str
    layout: str
    constants: int
    coarse_constants: int = 0
    unit: float = 2.0**-24
    constants_alone: int = 0
    coarse_constants_alone: int = 0
    piece: int = 0


@dataclass(frozen=True)
class Place:
    """A tap before its node is described."""

    layer: str
    stage: str
    node: str
    tf: str = ""
    declared: bool = True
    piece: int = 0


# Where a known network's layers are seen, from the flow of its graph and the calls of its layers.
NetworkTaps = Callable[[Flow, Sequence[LayerCall]], Iterator[Place]]


def taps(
    graph: Graph,
    outputs: Sequence[str],
    layers: Mapping[str, str],
    network: NetworkTaps | None = None,
    *,
    names: Mapping[str, str] | None = None,
    fed: Collection[str] | None = None,
) -> list[Tap]:
    """The taps of a graph's `outputs`, in order of execution.

    `layers`: checkpoint key -> PyTorch tensor ("synthesis.b64.conv0.weight"), for the variables that a table maps; the others are
    grouped by their TensorFlow scope. `network` chooses the taps of a known network (`NetworkKind.taps`); without it each layer has
    one where its variables have gone in. `names`: checkpoint key -> TensorFlow name; without it they are taken from the graph and the keys,
    where they can be. `fed` names the placeholders that a caller feeds, by default all. Raises BadInput where the graph lacks a node that
    is needed.
    """
    flow = follow(graph, outputs, fed)
    found = layer_calls(flow, layers, names or {})
    places = [*(network or _others)(flow, found), *(Place("output", OUTPUT, ref) for ref in outputs)]
    found_of = _Found(orders(flow), upstream(flow), upstream(flow, _COARSE), units(flow), *_alone(flow, found, layers, network))
    described = [_describe(flow, place, found_of) for place in places]
    at = {tap: flow.place[name_of(resolve(graph, tap.node))] for tap in described}
    return sorted(dict.fromkeys(described), key=lambda tap: (at[tap], _STAGES.index(tap.stage)))


@dataclass(frozen=True)
class _Found:
    """What is known of each node."""

    orders: Mapping[str, str]
    constants: Mapping[str, int]
    coarse_constants: Mapping[str, int]
    units: Mapping[str, float]
    constants_alone: Mapping[str, int]
    coarse_constants_alone: Mapping[str, int]


def _alone(
    flow: Flow, found: Sequence[LayerCall], layers: Mapping[str, str], network: NetworkTaps | None
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Node -> the rounded constants, and those of 16 bits, that come in behind the layers before it.

    None of a known network's: its modules hold the graph's own constants. A tensor that the network itself or a block holds is no layer at
    which a port can be fed.
    """
    if network is not None:
        return {}, {}
    tensors, paths = set(layers.values()), {call.layer for call in found}
    seen = [call for call in found if call.mapped and call.layer not in tensors]
    seen = [call for call in seen if not any(path.startswith(f"{call.layer}.") for path in paths)]
    stops = {name_of(call.chain[0]) for call in seen}
    numbers = []
    for types in (("float32",), _COARSE):
        counts = dict(upstream(flow, types, stops))
        for call in seen:  # behind its activation a layer is judged with all that came in since the layer before
            first, last = (name_of(ref) for ref in (call.chain[0], call.chain[-1]))
            counts[last] += counts[first] if last != first else 0
        numbers.append(counts)
    return numbers[0], numbers[1]


def _describe(flow: Flow, place: Place, of: _Found) -> Tap:
    name = name_of(resolve(flow.graph, place.node))
    scope = plain(name).rpartition("/")[0] or plain(name)
    op = flow.graph.nodes[name].op
    alone = of.constants_alone.get(name, 0), of.coarse_constants_alone.get(name, 0)
    numbers = of.constants[name], of.coarse_constants[name], of.units[name], *alone
    return Tap(place.layer, place.stage, place.declared, place.tf or scope, place.node, op, of.orders.get(name, ""), *numbers, place.piece)


def _last(call: LayerCall) -> Place:
    """After the activation, or after the parameters where there is none."""
    return Place(call.layer, ACTIVATION if len(call.chain) > 1 else PARAMETERS, call.chain[-1], call.tf, declared=call.mapped)


def _parameters(call: LayerCall) -> Place:
    return Place(call.layer, PARAMETERS, call.chain[0], call.tf, declared=call.mapped)


def _values(call: LayerCall) -> Iterator[Place]:
    return (Place(call.layer, VARIABLE, variable, call.tf) for variable in call.variables)


def generator_taps(flow: Flow, found: Sequence[LayerCall]) -> Iterator[Place]:
    """Every layer after its activation, the learned constant, and at each resolution the image so far."""
    for call in found:
        if call.layer == "synthesis.b4":
            yield from _values(call)
            continue
        yield _last(call)
        if (rgb := re.fullmatch(r"(synthesis\.b\d+)\.torgb", call.layer)) and rgb[1] != "synthesis.b4":
            total = past_silent(flow, call.chain[-1])
            if total != END and flow.graph.nodes[total].op in SUMS and len(flow.data_inputs(total)) > 1:
                yield Place(rgb[1], JOIN, total)


def residual_taps(flow: Flow, found: Sequence[LayerCall]) -> Iterator[Place]:
    """Every layer after its activation, and the scaled sum of each block."""
    exits = {call.layer: _exit(flow, call, found) for call in found}
    for call in found:
        yield exits[call.layer]
        if block := re.fullmatch(r"(b\d+)\.conv1", call.layer):
            skip = next((other for other in found if other.layer == f"{block[1]}.skip"), None)
            total = flow.meet([call.chain[0], skip.chain[0]]) if skip else END
            if total != END:
                yield Place(block[1], JOIN, chain(flow, total)[-1])


def _exit(flow: Flow, call: LayerCall, found: Sequence[LayerCall]) -> Place:
    """A residual block's layer after its activation, without the block's scale where the graph applies that before the sum.

    A skip has no activation, so that a factor after it is the block's; the same factor after conv1 is the block's too.
    """
    block, _, layer = call.layer.rpartition(".")
    if layer == "skip":
        return _parameters(call)
    skip = next((other for other in found if other.layer == f"{block}.skip"), None)
    scale = factor(flow, skip.chain[-1]) if skip and len(skip.chain) > 1 else None
    if layer == "conv1" and len(call.chain) > 1 and scale is not None and factor(flow, call.chain[-1]) == scale:
        return _last(LayerCall(call.layer, call.tf, call.mapped, call.entries, call.variables, call.chain[:-1], call.tiled))
    return _last(call)


def discriminator_taps(flow: Flow, found: Sequence[LayerCall]) -> Iterator[Place]:
    """Those of `residual_taps`, and what goes into the convolution behind the minibatch standard deviation."""
    yield from residual_taps(flow, found)
    for call in found:
        if call.layer == "b4.conv":
            before = flow.data_inputs(call.entries[0])[0]
            while flow.graph.nodes[before].op in _LAYING_OUT:
                before = flow.data_inputs(before)[0]
            yield Place("b4.mbstd", JOIN, before)


def classifier_taps(flow: Flow, found: Sequence[LayerCall]) -> Iterator[Place]:
    """Convolutions and normalisations each by themselves, and the activation after the last one of a unit."""
    last = {call.layer.rpartition(".")[0]: call for call in found if call.layer.endswith((".conv", ".bn"))}
    for call in found:
        yield _parameters(call)
        unit = call.layer.rpartition(".")[0]
        if last.get(unit) is call and len(call.chain) > 1:
            yield Place(f"{unit}.act", ACTIVATION, call.chain[-1], declared=call.mapped)


def _others(flow: Flow, found: Sequence[LayerCall]) -> Iterator[Place]:
    """An unknown network: the port must have every layer; it may expose activations and joins."""
    for call in found:
        if call.tiled:
            yield from _values(call)
        stage = RECURRENCE if call.recurrent else PARAMETERS
        yield Place(call.layer, stage, call.chain[0], call.tf, declared=not (call.together or call.tiled))
        yield from (Place(call.layer, STATE, ref, call.tf, declared=False) for ref in call.further)
        yield from (Place(call.layer, PIECE, ref, call.tf, declared=False, piece=i) for i, ref in enumerate(call.pieces, 1))
        if len(call.chain) > 1:
            yield Place(call.layer, ACTIVATION, call.chain[-1], call.tf, declared=False)
    for node in _joins(flow, found):
        behind = chain(flow, node)[-1]
        yield from (Place("", JOIN, place, declared=False) for place in dict.fromkeys((node, behind)))


def _joins(flow: Flow, found: Sequence[LayerCall]) -> Iterator[str]:
    """The sums and concatenations of outputs of different layers, which belong to none of them."""
    own = {name_of(node) for call in found for node in (*call.entries, *call.chain, *call.further, *call.inner)}
    sources: dict[str, frozenset[str]] = {name: frozenset((name,)) for name in (*flow.fed, *own)}
    for name in flow.inputs:
        if name not in flow.data or name in sources:
            continue
        before = [sources[taken] for taken in flow.data_inputs(name)]
        sources[name] = frozenset[str]().union(*before)
        if flow.graph.nodes[name].op in _JOINS and len(set(before)) > 1:
            yield name
            sources[name] = frozenset((name,))
