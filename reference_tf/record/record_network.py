"""One network's calls, run in both precisions: every tap is measured and written as soon as it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stylexport.common.distance import relative_error
from stylexport.common.errors import BadInput, MappingError
from stylexport.common.types import Array
from stylexport.converter.calls.calls import Call, Feed, flow_of, used
from stylexport.converter.calls.inputs import Inputs
from stylexport.converter.calls.ranges import Range, input_ranges
from stylexport.converter.calls.sources import Source
from stylexport.converter.graph.taps import OUTPUT, VARIABLE, Tap, taps
from stylexport.converter.graph.tensor_proto import numpy_dtype
from stylexport.converter.mapping.rules import assembled, by_tensor, layers_of
from stylexport.converter.output.recording import RecordedNetwork, RecordedRange, RecordedTap, RecordedWeight, Recorder
from stylexport.converter.output.safetensors_file import DTYPES
from stylexport.converter.output.write_network import check_finite
from stylexport.reference_tf.record.kernel_faults import mark_kernel_faults
from stylexport.reference_tf.record.unseen import Unseen, watching
from stylexport.reference_tf.replay.execute_op import as_array
from stylexport.reference_tf.replay.walk import walk

Pair = tuple[Any, Any]  # a value in the graph's own precision, and in float64
NodesDone = Callable[[int, int], None]

STORE = 2**21  # elements of a tap that is stored whole; of a larger one, one sample


@dataclass
class _State:
    """What is known of a network so far: the values that one call passes to the next, and what the recording will contain."""

    values: dict[str, Pair] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, RecordedRange] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    taps: list[RecordedTap] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    remarks: list[str] = field(default_factory=list)
    unreliable: frozenset[str] = frozenset()  # values that depend on a wrong kernel


def record_network(
    source: Source,
    inputs: Inputs,
    samples: int,
    recorder: Recorder,
    origin: Mapping[str, Any],
    progress: NodesDone = lambda *_: None,
    store: int = STORE,
) -> RecordedNetwork:
    """Runs a network on `samples` of `inputs`, and writes inputs, taps, outputs and weights. Returns its description.

    What later networks take of it is added to `inputs.made`. `origin` describes the artefact; of a tap with more than `store` elements
    one sample is kept. Raises BadInput where the graph cannot be run, MappingError for a weight that is not finite.
    """
    variables = _variables(source)
    names = {v.key: v.name for v in source.artefact.variables if v.name != v.key}
    layers = layers_of(source.network.bindings) if source.network else {}
    kind = source.network.kind if source.network else None
    network_taps = kind.taps.load() if kind and kind.taps else None
    # What goes into a layer that mixes samples, and what comes out, is kept whole: one sample alone gives something else.
    mixing_layers = kind.mixing if kind else ()
    state = _State(remarks=list(source.procedure.remarks))
    for number, call in enumerate(source.procedure.calls):
        fed = [given.name for given in call.function.inputs]
        chosen = _chosen(call, taps(call.function.graph, call.function.outputs, layers, network_taps, names=names, fed=fed))
        ranges = input_ranges(call.function, variables.__getitem__) if kind is None else {}
        within = [ranges.get(name) for name in fed]
        given = [_fed(feed, r, inputs, samples, state, recorder, source) for feed, r in zip(call.feeds, within, strict=True)]
        mixing = frozenset(tap.node for tap in chosen if tap.layer in mixing_layers)
        writer = _TapWriter(recorder, f"{source.name}/taps/{number}", store, mixing)
        unseen = watching(call, variables.__getitem__) if kind is None else Unseen(flow_of(call.function))
        results = _run(call, chosen, given, variables, writer, progress, unseen)
        recorded = unseen.marked([RecordedTap(**vars(tap), **writer.measured[tap.node]) for tap in chosen])
        found = mark_kernel_faults(call, recorded, given, variables.__getitem__, state.unreliable)
        state.taps += found.taps
        state.remarks += found.faults
        state.unreliable |= found.unreliable
        state.values.update(zip(call.gives, results, strict=True))
        state.used |= used(call.function)
        _add_made(source, call, results, inputs)
        if call.final:
            for name, (single, _) in zip(call.gives, results, strict=True):
                state.outputs[name] = recorder.add(f"{source.name}/outputs/{name}", _array(single, np.float32))
    return RecordedNetwork(
        network=source.name,
        source=origin,
        config=source.network.config.to_json() if source.network and kind else None,
        samples=samples,
        inputs=state.inputs,
        layouts=state.layouts,
        outputs=state.outputs,
        taps=tuple(state.taps),
        weights=_weights(source, variables, recorder, state.used),
        remarks=tuple(state.remarks),
        dtypes=state.dtypes,
        ranges=state.ranges,
    )


def _variables(source: Source) -> dict[str, Array]:
    """Every variable that a call or a binding needs, by its key, read in storage order. Raises MappingError for one that is not finite."""
    needed = {key for call in source.procedure.calls for key in used(call.function)}
    if source.network:
        needed |= {binding.variable.key for binding in source.network.bindings}
    found = {}
    for variable in source.artefact.variables:
        if variable.key in needed:
            found[variable.key] = source.artefact.read(variable)
            if variable.dtype in DTYPES:
                check_finite(found[variable.key], variable, source.artefact.path)
    return found


def _fed(feed: Feed, within: Range | None, inputs: Inputs, samples: int, state: _State, recorder: Recorder, source: Source) -> Pair:
    """What goes into one input, in both precisions: what an earlier call gave, else numbers that float32 holds; recorded once."""
    if feed.name in state.values:
        return state.values[feed.name]
    if feed.scalar:
        return _switched_off(feed)
    value = _value(feed, within, inputs, samples, source)
    if feed.name not in state.inputs:
        if within is not None and not inputs.has(feed.name):
            state.ranges[feed.name] = RecordedRange(float(within.low.min()), float(within.high.max()), within.whole, within.why)
            state.remarks.append(f"input {feed.name!r} drawn in {within.words}: {within.why}")
        if feed.dtype not in DTYPES:
            state.dtypes[feed.name] = feed.dtype
        state.inputs[feed.name] = recorder.add(f"{source.name}/inputs/{feed.name}", value)
        state.layouts[feed.name] = feed.layout
    single = feed.in_its_layout(value).astype(numpy_dtype(feed.dtype))
    return single, single.astype(np.float64) if feed.dtype in DTYPES else single


def _value(feed: Feed, within: Range | None, inputs: Inputs, samples: int, source: Source) -> Array:
    """An input in float32, as the recording keeps it. Raises BadInput for text, and for integers of which the graph tells nothing."""
    if feed.parts is not None:
        return inputs.dlatent(*feed.parts, samples)
    if feed.dtype == "string":
        raise BadInput(f"{source.artefact.path}: takes text as {feed.name}; export a function of it that takes numbers")
    if feed.dtype not in DTYPES and within is None and not inputs.has(feed.name):
        problem = f"its input {feed.name} takes {feed.dtype}, and the graph does not tell which numbers"
        raise BadInput(f"{source.artefact.path}: {problem}; give them by --inputs FILE")
    value = inputs.tensor(feed.name, feed.shape, samples, within, feed.layout)
    if within is not None and within.only and (value.min() < within.low.min() or value.max() > within.high.max()):
        raise BadInput(f"--inputs: {feed.name} holds {value.min():g} to {value.max():g}; it is {within.words}: {within.why}")
    return value.astype(numpy_dtype(feed.dtype)).astype(np.float32)


def _switched_off(feed: Feed) -> Pair:
    """A scalar that switches something: off. Raises BadInput for any other scalar."""
    if feed.dtype != "bool":
        raise BadInput(f"the graph takes a single {feed.dtype} as {feed.name}; freeze it, or export a function without it")
    return np.False_, np.False_


def _add_made(source: Source, call: Call, results: Sequence[Pair], inputs: Inputs) -> None:
    """What a network provides (the generator's w and images) is an input of what comes later."""
    if source.network is not None and source.network.kind is not None and call.gives[0] in source.network.kind.provides:
        value, config = _array(results[0][0], np.float32), source.network.config
        inputs.made[call.gives[0]] = value[:, : getattr(config, "latent", None)] if call.gives[0] == "w" else value


@dataclass
class _TapWriter:
    """Writes tensors to the file under `place`, numbered as they come; `measured`: reference -> what is measured of a tap.

    Of more than `store` elements one sample is kept, except for the references in `mixing`.
    """

    recorder: Recorder
    place: str
    store: int
    mixing: frozenset[str]
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, ref: str, single: Array, double: Array) -> None:
        """Measures the stored rows of a value in both precisions, and writes them."""
        shape = tuple(double.shape)
        rows = shape[0] if ref in self.mixing else stored_rows(shape, self.store)
        one, exact = (_array(value[:rows] if shape else value, np.float64) for value in (single, double))
        floor, largest = distance(one, exact)
        tensor = self.recorder.add_exact(f"{self.place}.{len(self.measured)}", exact)
        self.measured[ref] = {"shape": shape, "rows": rows, "floor": floor, "max32": largest, "tensor": tensor}


def _chosen(call: Call, found: Sequence[Tap]) -> list[Tap]:
    """The taps to record. The network's outputs come last, one a name, in their own order; another call's are not outputs."""
    by_node = {tap.node: tap for tap in found if tap.stage == OUTPUT}
    outputs = [by_node[ref] for ref in call.function.outputs] if call.final else []
    return [*(tap for tap in found if tap.stage != OUTPUT), *outputs]


def _run(
    call: Call,
    chosen: Sequence[Tap],
    given: Sequence[Pair],
    variables: Mapping[str, Array],
    writer: _TapWriter,
    progress: NodesDone,
    unseen: Unseen,
) -> list[Pair]:
    """One call: its taps are written, its outputs are returned in both precisions."""
    for node in {tap.node: None for tap in chosen if tap.stage == VARIABLE}:
        value = variables[call.function.graph.keys[node]]
        writer.write(node, value, value)
    wanted = {tap.node for tap in chosen} - set(writer.measured)
    return walk(call.function, given, variables.__getitem__, wanted, writer.write, progress, unseen.watched)


def stored_rows(shape: Sequence[int], store: int = STORE) -> int:
    """How many of a tap's first rows are kept: all where they fit into `store` elements, else one.

    Nothing between: where a network joins two values, one of which has one row, that row is used for all (parity/compare/layerwise.py).
    """
    return shape[0] if shape and int(np.prod(shape, dtype=object)) <= store else 1


def distance(single: Array, exact: Array) -> tuple[float, float]:
    """|single - exact| / |exact| and the largest difference; where `exact` is zero everywhere, whether `single` is not (0 or 1)."""
    relative = relative_error(single, exact)
    return (1.0 if math.isinf(relative) else relative), float(np.abs(single - exact).max(initial=0.0))


def _weights(source: Source, variables: Mapping[str, Array], recorder: Recorder, used_keys: set[str]) -> dict[str, RecordedWeight]:
    if source.network is None:
        return {}
    found = {}
    for tensor, bindings in by_tensor(source.network.bindings).items():
        for variable in (binding.variable for binding in bindings):
            if variable.dtype not in DTYPES:
                raise MappingError(f"{variable.name} is {variable.dtype}, but {tensor} needs a floating-point tensor; is this its network?")
        name = recorder.add(f"{source.name}/weights/{tensor}", assembled(bindings, lambda variable: variables[variable.key]))
        names, used = dict.fromkeys(b.variable.name for b in bindings), any(b.variable.key in used_keys for b in bindings)
        found[tensor] = RecordedWeight(" and ".join(names), name, used)
    for filled in source.network.filled:
        name = recorder.add(f"{source.name}/weights/{filled.torch}", filled.array())
        found[filled.torch] = RecordedWeight("filled by the table", name, used=True)
    return found


def _array(value: Any, dtype: Any) -> Array:
    return as_array(value).astype(dtype, copy=False)
