"""Where each layer's variables enter the data, and the nodes at which the layer has done its work.

A layer is the variables of one PyTorch module, or of one TensorFlow scope where no mapping names one. Its entries are the data
nodes that take one of them; the layer ends at the first node that everything computed at its entries passes through: in a modulated
convolution with demodulation, noise and bias that is the addition of the bias. A layer may be called more than once.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stylexport.converter.graph.dataflow import END, Flow, name_of
from stylexport.converter.graph.loops.recurrence import LOOPS, results, unrolled
from stylexport.converter.graph.pointwise import chain

_SUMS = ("Add", "AddV2", "Sub")
_OF_PRELU = ("Mul", "Neg", "Relu", "Minimum", "Abs", "Sub", "AddV2")
_BROADCASTS = ("Tile", "BroadcastTo")
_CALLS = re.compile(r"(?<![^/])(?:Stateful)?PartitionedCall(?:_\d+)?/")
# Checkpoint keys by number, which name no layer: those of Keras, and of TensorFlow for lists.
_NUMBERED = re.compile(r"(?:.*/)?_?variables/\d+")

Role = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    `layer` is the module's path, or the tensor's name where the network itself holds it, "" where no mapping names one; `tf` the
    variables' scope; `entries` stand in order of execution; `chain` is the node where the layer's parameters have done their work, then
    the nodes of its activation in turn; `variables` are the nodes of the variables; `tiled`: a variable is copied once for each sample,
    so that it is itself the data. A loop may give several results: the first begins `chain`, the others (states) are `further`. `inner`
    are the nodes between the steps of a cell that the graph repeats. `recurrent`: it is such a cell, or a loop; `together`: several layers
    work in one loop or share a variable, and what it gives is not one layer's alone. `pieces`: where the layer joins several layers of the
    original that take the same input, as the query, key and value of an attention, what each of them gives, in the order in which the
    table joins them.
    """

    layer: str
    tf: str
    mapped: bool
    entries: tuple[str, ...]
    variables: tuple[str, ...]
    chain: tuple[str, ...]
    tiled: bool
    further: tuple[str, ...] = ()
    inner: frozenset[str] = frozenset()
    together: bool = False
    recurrent: bool = False
    pieces: tuple[str, ...] = ()


def layer_calls(flow: Flow, layers: Mapping[str, str], names: Mapping[str, str]) -> list[LayerCall]:
    """Every call of every layer, in order of execution.

    `layers`: checkpoint key -> PyTorch tensor, "" where several modules share the variable; `names`: checkpoint key -> TensorFlow name,
    where a file holds it.
    """
    layers = _with_whole_attentions(layers)
    entries: dict[str, dict[str, None]] = {}
    for name in flow.inputs:
        if name in flow.data:
            for variable in _taken(flow, name):
                entries.setdefault(_layer(flow, variable, layers, names), {})[name] = None
    roles = _Roles(flow)
    found = []
    for layer, nodes in entries.items():
        members = frozenset(v for v in flow.graph.keys if v in flow.place and _layer(flow, v, layers, names) == layer)
        calls = _calls(flow, list(nodes), roles, members)
        steps = unrolled(flow, calls)
        for cluster in steps:
            taken = tuple(v for v in flow.place if v in members and any(v in _taken(flow, entry) for entry in cluster))
            first = next(v for v in taken if v in _taken(flow, cluster[0]))
            tensor = layers.get(flow.graph.keys[first])
            meeting, is_recurrent = _whole_map(flow, flow.meet(cluster)), len(steps) < len(calls)
            result, *further = results(flow, meeting, is_recurrent)
            found.append(
                LayerCall(
                    layer=(tensor.rpartition(".")[0] or tensor) if tensor else "",
                    tf=_scope(flow, first, cluster[0], names),
                    mapped=tensor is not None,
                    entries=tuple(cluster),
                    variables=taken,
                    chain=chain(flow, result) if result in flow.place else (result,),
                    tiled=any(_is_tiled(flow, entry, members) for entry in cluster),
                    further=tuple(further),
                    recurrent=is_recurrent or any(flow.graph.nodes[entry].op in LOOPS for entry in cluster),
                    together=tensor == "",
                    inner=flow.depending_on(cluster) & flow.needed_by((meeting,)) if is_recurrent else frozenset(),
                    pieces=_pieces(flow, cluster, [v for v in layers if v in {flow.graph.keys[name] for name in taken}], layers),
                )
            )
    return sorted(_together(flow, found), key=lambda call: flow.place[name_of(call.chain[0])])


def _pieces(flow: Flow, entries: Sequence[str], keys: Sequence[str], layers: Mapping[str, str]) -> tuple[str, ...]:
    """What each of several layers gives whose weights, and biases, one layer of the port joins; none where it joins none."""
    tensors: dict[str, list[str]] = {}
    for key in keys:
        tensors.setdefault(layers[key], []).append(key)
    number = len(next(iter(tensors.values()), ()))
    if number < 2 or any(
        len(joined) != number or tensor.rpartition(".")[2] not in ("weight", "bias") for tensor, joined in tensors.items()
    ):
        return ()
    taken = {entry: {flow.graph.keys[name] for name in _taken(flow, entry)} for entry in entries}
    found = [flow.meet([entry for entry in entries if taken[entry].intersection(own)]) for own in zip(*tensors.values(), strict=True)]
    return tuple(found) if END not in found and len(set(found)) == number else ()


def _with_whole_attentions(layers: Mapping[str, str]) -> dict[str, str]:
    """`layers` with the output of an attention as a tensor of the module that holds its inputs.

    PyTorch's attention (`nn.MultiheadAttention`) uses the weights of its `out_proj` without calling it.
    """
    tensors = set(layers.values())
    found = {}
    for key, tensor in layers.items():
        module, _, last = tensor.rpartition(".")
        holder = module.removesuffix("out_proj")
        whole = holder != module and any(f"{holder}{name}" in tensors for name in ("in_proj_weight", "q_proj_weight"))
        found[key] = f"{holder}out_proj_{last}" if whole else tensor
    return found


def _together(flow: Flow, calls: Sequence[LayerCall]) -> list[LayerCall]:
    """The calls, with those of several layers in one loop as one call of the module that holds them."""
    found: dict[str, LayerCall] = {}
    for number, call in enumerate(calls):
        loop = next((entry for entry in call.entries if flow.graph.nodes[entry].op in LOOPS), "")
        place = call.chain[0] if loop else f"{number}"
        before = found.get(place)
        if before is None:
            found[place] = call
        else:
            layer, tf = (_common(getattr(before, field), getattr(call, field), sign) for field, sign in (("layer", "."), ("tf", "/")))
            entries, variables = (*before.entries, *call.entries), (*before.variables, *call.variables)
            found[place] = dataclasses.replace(before, layer=layer, tf=tf, entries=entries, variables=variables, together=True)
    return list(found.values())


def _common(one: str, other: str, sign: str) -> str:
    """The first parts that two paths have in common."""
    parts = zip(one.split(sign), other.split(sign), strict=False)
    return sign.join(first for first, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], parts))


def plain(name: str) -> str:
    """A node's name without the calls that it was inlined from."""
    return _CALLS.sub("", name)


def _taken(flow: Flow, name: str) -> frozenset[str]:
    """The variables that a data node takes, directly or through nodes that are not data."""
    return frozenset[str]().union(*(flow.variables[name_of(ref)] for ref in flow.fixed_inputs(name)))


def _layer(flow: Flow, variable: str, layers: Mapping[str, str], names: Mapping[str, str]) -> str:
    """A key for a variable's layer. A tensor that belongs to the whole network is a layer by itself."""
    key = flow.graph.keys[variable]
    if layers.get(key):
        module = layers[key].rpartition(".")[0]
        return f"torch:{module or layers[key]}"
    name = _tf_name(variable, key, names)
    return f"tf:{name.rpartition('/')[0] or name}" if name else f"key:{key}"


def _tf_name(variable: str, key: str, names: Mapping[str, str]) -> str:
    """The variable's TensorFlow name, from the file, the graph or the key; "" where none of them has it."""
    if key in names:
        return plain(names[key])
    if "/" in variable:
        return plain(variable)
    path = key.split("/.ATTRIBUTES", 1)[0]
    return "" if _NUMBERED.fullmatch(path) else path


def _scope(flow: Flow, variable: str, entry: str, names: Mapping[str, str]) -> str:
    """What a person looks for in the TensorFlow model: the variable's scope, else the scope that takes it."""
    name = _tf_name(variable, flow.graph.keys[variable], names) or plain(entry)
    return name.rpartition("/")[0] or name


def _calls(flow: Flow, entries: Sequence[str], roles: _Roles, members: frozenset[str]) -> list[list[str]]:
    """The entries of each call of a layer. A call does each thing once with each variable, so a repetition belongs to another call."""
    clusters: list[tuple[set[Role], list[str]]] = []
    for entry in entries:
        role = roles.of(entry, members)
        open_ones = [(flow.meet([*nodes, entry]), i) for i, (known, nodes) in enumerate(clusters) if role not in known]
        near = [(flow.place[meeting], i) for meeting, i in open_ones if meeting != END]
        if near:
            known, nodes = clusters[min(near)[1]]
            known.add(role)
            nodes.append(entry)
        else:
            clusters.append(({role}, [entry]))
    return [nodes for _, nodes in clusters]


class _Roles:
    """What an entry does with its layer's variables: its operation, and what was computed of them before."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._known: dict[str, int] = {}

    def of(self, entry: str, members: frozenset[str]) -> Role:
        refs = [ref for ref in self._flow.fixed_inputs(entry) if self._flow.variables[name_of(ref)] & members]
        return self._flow.graph.nodes[entry].op, tuple(self._prepared(ref) for ref in refs)

    def _prepared(self, ref: str) -> int:
        """The same number for the same computation on the same variables and constants."""
        if ref not in self._known:
            name = name_of(ref)
            node, key = self._flow.graph.nodes[name], self._flow.graph.keys.get(name)
            constant = node.attr["value"].tensor.SerializeToString() if node.op == "Const" and key is None and "value" in node.attr else b""
            inputs = tuple(self._prepared(taken) for taken in self._flow.inputs[name])
            self._known[ref] = hash((node.op, key, constant, inputs, ref[len(name) :]))
        return self._known[ref]


def _whole_map(flow: Flow, name: str) -> str:
    """`name`, or the node behind it that completes it: a dilated convolution works on pieces of a map, a PReLU on two terms of a sum."""
    after = flow.after(name)
    if after == END:
        return name
    if flow.graph.nodes[after].op == "BatchToSpaceND":
        return after
    scaled = after if flow.graph.nodes[after].op == "Mul" and len(flow.data_inputs(after)) == 1 else name
    total = flow.after(scaled)
    return total if total != END and _is_prelu(flow, scaled, total) else name


def _is_prelu(flow: Flow, negative: str, total: str) -> bool:
    """Whether `total` is max(x, 0) + a min(x, 0), of which `negative` is the second term: an activation with a variable, a."""
    others = [name for name in flow.data_inputs(total) if name != negative]
    if flow.graph.nodes[total].op not in _SUMS or len(others) != 1 or flow.graph.nodes[others[0]].op not in ("Relu", "Maximum"):
        return False
    source, front, seen = flow.data_inputs(others[0]), [negative], set[str]()
    while front:
        name = front.pop()
        if name in source:
            return True
        if name not in seen and flow.graph.nodes[name].op in _OF_PRELU:
            seen.add(name)
            front += flow.data_inputs(name)
    return False


def _is_tiled(flow: Flow, entry: str, members: frozenset[str]) -> bool:
    """Whether a variable of the layer is repeated on its way to `entry`."""
    front, seen = [name_of(ref) for ref in flow.fixed_inputs(entry)], set[str]()
    while front:
        name = front.pop()
        if name in seen or not flow.variables[name] & members:
            continue
        seen.add(name)
        if flow.graph.nodes[name].op in _BROADCASTS:
            return True
        front += [name_of(ref) for ref in flow.inputs[name]]
    return False
