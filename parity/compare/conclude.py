"""From what the passes measured to layers with verdicts (`stylexport.parity.verdict`), faults, and tensors without a layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.compare.comparison import OUTPUT, VARIABLE, Comparison, EndToEnd, Layerwise, Match
from stylexport.parity.compare.coverage import missing, name_of, other_numbers_of_calls
from stylexport.parity.compare.vacuous import vacuous, vacuous_values
from stylexport.parity.compare.weight_values import Mismatch
from stylexport.parity.difference import NOT_MEASURED, Difference
from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.result import Fault, Layer, Loss
from stylexport.parity.verdict import EXACT, FAULT, REORDERED, UNIT, Evidence, network_verdicts, severity

UNUSED = "no call of the original uses it: compared by value"
OF_A_BLOCK = "compared by value: the layers behind show how it is used"
UNDECIDED = ""  # the verdict of a layer until all of the network are known
Row = tuple[Layer, Evidence]


@dataclass(frozen=True)
class Conclusion:
    """Layers and faults in the order of execution, the names of the original's declared tensors without a layer, and remarks."""

    layers: tuple[Layer, ...]
    faults: tuple[Fault, ...]
    unmatched: tuple[str, ...]
    remarks: tuple[str, ...]


def conclude(
    comparison: Comparison,
    layerwise: Layerwise,
    double: EndToEnd,
    single: EndToEnd,
    losses: Sequence[Loss],
    wrong: Sequence[Mismatch],
) -> Conclusion:
    """What the passes found of a network.

    `double` and `single` are the chain in float64 and in the comparison's precision, `wrong` the tensors of other values.
    """
    order = {tap.tensor: i for i, tap in enumerate(comparison.original.network.taps)}
    other_values = {mismatch.layer for mismatch in wrong}
    lower = {loss.layer: loss.ratio for loss in losses}
    found = [_matched(comparison, layerwise, layer, double, single, lower, layer in other_values) for layer in layerwise.calls]
    judged = sorted((pair for pair in found if pair), key=lambda pair: order[pair[0].tensor])
    rows = [row for _, row in judged]
    without = missing(comparison, layerwise)
    rows += [_without_layer(comparison, tap) for tap in without]
    rows += _by_value(comparison, {layer.name for layer, _ in rows}, other_values)
    verdicts = network_verdicts([evidence for _, evidence in rows])
    layers = [dataclasses.replace(layer, verdict=verdict) for (layer, _), verdict in zip(rows, verdicts, strict=True)]
    faults = [*layerwise.faults, *_of_values(comparison, layerwise, wrong)]
    faults += _of_what_lies_between(layers, {fault.layer for fault in faults})
    place = {layer.name: i for i, layer in enumerate(layers)}
    faults.sort(key=lambda fault: place.get(fault.layer, len(place)))
    said = other_numbers_of_calls(comparison, layerwise)
    first_calls = [min(order[tap.tensor] for tap in comparison.taps[layer]) for layer in said]
    reached = {row.name: order[tap.tensor] for tap, (row, _) in judged}
    faults = [_told_by_calls(fault, list(said.values()), first_calls, reached.get(fault.layer, len(order))) for fault in faults]
    unmatched = [
        f"{comparison.port.network}: {name_of(comparison, tap)} ({tap.tf or tap.node}, {tap.op} {list(tap.shape)})" for tap in without
    ]
    return Conclusion(
        tuple(layers), tuple(faults), tuple(unmatched), (*said.values(), *_of_another_order(layers), *_in_code(comparison, layerwise))
    )


def _of_another_order(layers: Sequence[Layer]) -> Iterator[str]:
    """A sentence for each layer whose sum is the original's although its own value is not."""
    for layer in layers:
        if layer.verdict == REORDERED:
            yield f"{layer.network}: {layer.name}: another order of the same sum: its terms are added in another order, and the sum agrees"


def _in_code(comparison: Comparison, layerwise: Layerwise) -> Iterator[str]:
    """A sentence for each tensor of the original that the port's code computes without a layer."""
    for tap in comparison.original.network.taps:
        if tap.tensor in layerwise.in_code:
            name = f"{comparison.port.network}: {name_of(comparison, tap)}"
            yield f"{name}: computed by the port's own code, not by a layer; it agrees in the chain"


def _matched(
    comparison: Comparison,
    layerwise: Layerwise,
    layer: str,
    double: EndToEnd,
    single: EndToEnd,
    lower: dict[str, float],
    other_values: bool,
) -> tuple[RecordedTap, Row] | None:
    """A layer that the layerwise pass has judged, by the call that is nearest to its limits or furthest beyond them, and that call's tap.

    `lower` are the layers' losses in a lower precision. None for a layer that answers for nothing.
    """
    found: list[tuple[RecordedTap, Row]] = []
    vacuous_of_all = _vacuous(comparison, layerwise, layer)
    for number, match in enumerate(layerwise.calls[layer]):
        if match is not None:
            as_it_is = Difference(match.error, match.error) if comparison.is_variable(layer) else NOT_MEASURED
            chain = [_nth(errors.errors.get(layer, ()), number) or as_it_is for errors in (double, single)]
            row, evidence = _call(comparison, layer, match, (chain[0], chain[1]), lower, other_values)
            found.append((match.tap, (dataclasses.replace(row, vacuous=(*vacuous_of_all, *match.tap.unseen)), evidence)))
    return max(found, key=lambda pair: severity(pair[1][1]), default=None)


def _nth(errors: Sequence[Difference | None], number: int) -> Difference | None:
    return errors[number] if number < len(errors) else None


def _call(
    comparison: Comparison, layer: str, match: Match, chain: tuple[Difference, Difference], lower: dict[str, float], other_values: bool
) -> Row:
    """One call of a layer. `chain`: in float64 and in the comparison's precision."""
    tap, original, (e64, e32) = match.tap, comparison.original, chain
    if match.reordered:  # its sum was compared, in float64; in float32 the layers behind are judged
        e64, e32 = Difference(match.error, match.error), NOT_MEASURED
    floor = original.floor(tap)
    ratio = None if floor is None or match.reordered else e32.error / floor
    evidence = Evidence(
        alone=match.error,
        error64=e64.error,
        allowed64=original.allowed_in_chain(tap),
        ratio=ratio if comparison.precision == "fp32" else lower.get(layer),
        allowed_alone=match.allowed,
        elements=math.prod(tap.shape[1:]) * tap.rows,
        other_values=other_values,
        reordered=match.reordered,
    )
    row = Layer(
        network=comparison.port.network,
        name=layer,
        tf=tap.tf,
        node=tap.node,
        stage=VARIABLE if comparison.is_variable(layer) else tap.stage,
        shape=tuple(match.shape[1:] if comparison.is_variable(layer) else tap.shape),
        verdict=UNDECIDED,
        alone=evidence.alone,
        error64=evidence.error64,
        error32=None if match.reordered else e32.error,
        floor=max(tap.floor, tap.unit),
        ratio=ratio,
        max_abs=None if match.reordered else e32.max_abs,
        snr_db=None if match.reordered else e32.snr_db,
        allowed64=evidence.allowed64,
        allowed_alone=evidence.allowed_alone,
    )
    return row, evidence


def _vacuous(comparison: Comparison, layerwise: Layerwise, layer: str) -> tuple[str, ...]:
    """What a pass of this layer does not prove."""
    matches, site = layerwise.matches(layer), comparison.port.site(layer)
    if site is None or not matches or matches[0].tap.stage in (OUTPUT, VARIABLE):
        return ()
    module = comparison.port.module.get_submodule(site.own or site.module)
    found = vacuous(module, comparison.original.network.samples)
    if not isinstance(module, nn.ReLU | nn.ReLU6):
        return found
    values = [comparison.original.value(match.tap, match.shape) for match in matches]
    unseen = [set(vacuous_values(module, value)) for value in values if value is not None]
    return (*found, *sorted(set[str]().union(*unseen[:1]).intersection(*unseen)))


def _without_layer(comparison: Comparison, tap: RecordedTap) -> Row:
    """A tensor of the original without a layer of the port."""
    evidence = Evidence(math.nan, math.nan, answered=False)
    return _bare(comparison, name_of(comparison, tap), tap.tf, tap.node, tap.stage, tap.shape, None), evidence


def _by_value(comparison: Comparison, judged: set[str], other_values: set[str]) -> Iterator[Row]:
    """Layers whose tensors no pass uses: they are compared by value."""
    own, seen = comparison.port.module.state_dict(), set(judged)
    for name, weight in comparison.original.network.weights.items():
        layer = name.rpartition(".")[0] or name
        if layer not in seen and name in own:
            seen.add(layer)
            error = float(layer in other_values)
            row = _bare(comparison, layer, weight.tf, "", VARIABLE, own[name].shape, error)
            yield (
                dataclasses.replace(row, vacuous=(OF_A_BLOCK if weight.used else UNUSED,)),
                Evidence(error, error, other_values=layer in other_values),
            )


def _bare(comparison: Comparison, name: str, tf: str, node: str, stage: str, shape: Sequence[int], error: float | None) -> Layer:
    """A layer that no pass has judged."""
    return Layer(
        network=comparison.port.network,
        name=name,
        tf=tf,
        node=node,
        stage=stage,
        shape=tuple(shape),
        verdict=UNDECIDED,
        alone=error,
        error64=error,
        error32=error,
        floor=UNIT,
        ratio=None if error is None else error / UNIT,
        max_abs=None,
        snr_db=None,
        allowed64=EXACT,
    )


def _of_values(comparison: Comparison, layerwise: Layerwise, wrong: Sequence[Mismatch]) -> Iterator[Fault]:
    """The faults that values alone show: in tensors that no pass uses, and below every pass's rounding."""
    explained = {fault.layer for fault in layerwise.faults}
    for layer in dict.fromkeys(mismatch.layer for mismatch in wrong if mismatch.layer not in explained):
        own = [mismatch for mismatch in wrong if mismatch.layer == layer]
        error = max((match.error for match in layerwise.matches(layer)), default=math.nan)
        detail, cause = "; ".join(map(str, own)), CAUSES[own[0].cause]
        yield Fault(comparison.port.network, layer, cause.name, detail, cause.remedy, error, 0.0)


def _of_what_lies_between(layers: Sequence[Layer], explained: set[str]) -> Iterator[Fault]:
    """The fault of a layer that passes alone: the code between it and the layers before it is another."""
    for layer in layers:
        if layer.verdict == FAULT and layer.name not in explained:
            error = math.nan if layer.error64 is None else layer.error64
            detail = "it passes alone, and so does every layer before it; what lies between them differs"
            remedy = "compare what the port does between this layer and those before it with the original's graph"
            yield Fault(layer.network, layer.name, "unknown", detail, remedy, error, error)


def _told_by_calls(fault: Fault, said: Sequence[str], first_calls: Sequence[int], reached: int) -> Fault:
    """A fault without a cause, named where a layer before it runs another number of times than in the original.

    `said`: a sentence each for such layers, whose `first_calls` stand among the taps before the place that is `reached` at the fault.
    """
    before = [sentence for sentence, first in zip(said, first_calls, strict=True) if first <= reached]
    if fault.cause != "unknown" or not before:
        return fault
    cause = CAUSES["number_of_calls"]
    return dataclasses.replace(fault, cause=cause.name, detail="; ".join(before), remedy=cause.remedy)
