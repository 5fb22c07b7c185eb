"""From what the passes found to rows, verdicts and faults."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

from torch import nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.compare.vacuous import vacuous, vacuous_values
from stylexport.parity.compare.weight_values import Mismatch
from stylexport.parity.comparison import OUTPUT, VARIABLE, Case
from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.result import CARRIED, FAULT, MISSING, PASS, Fault, Layer
from stylexport.parity.verdict import EXACT, UNIT, Difference, allowed_in_chain, judge

UNSEEN = "no call of the original uses it: compared by value"
NOT_SEEN = Difference(math.nan, math.nan)


def conclude(case: Case, error64: Mapping[str, Difference], error32: Mapping[str, Difference], wrong: Iterable[Mismatch]) -> None:
    """Fills `layers` and `unmatched` of the case, and puts its faults in the order of execution."""
    order = {tap.tensor: i for i, tap in enumerate(case.original.network.taps)}
    for layer, tap in sorted(case.chosen.items(), key=lambda item: order[item[1].tensor]):
        case.layers.append(_row(case, layer, tap, error64, error32))
    _missing(case)
    _weights(case, list(wrong))
    _joined(case)
    place = {layer.name: i for i, layer in enumerate(case.layers)}
    case.faults.sort(key=lambda fault: place.get(fault.layer, len(place)))


def _row(case: Case, layer: str, tap: RecordedTap, error64: Mapping[str, Difference], error32: Mapping[str, Difference]) -> Layer:
    alone, floor = case.alone[layer], max(tap.floor, UNIT)
    as_it_is = Difference(alone, alone) if tap.stage == VARIABLE else NOT_SEEN
    e64, e32 = error64.get(layer, as_it_is), error32.get(layer, as_it_is)
    allowed, ratio = allowed_in_chain(tap.constants, floor), e32.error / floor
    lower = {loss.layer: loss.ratio for loss in case.losses}
    judged = ratio if case.precision == "fp32" else lower.get(layer, 0.0)
    verdict = judge(alone, e64.error, judged, allowed, math.prod(tap.shape[1:]) * tap.rows)
    return Layer(
        network=case.port.network,
        name=layer,
        tf=tap.tf,
        node=tap.node,
        stage=tap.stage,
        shape=tuple(tap.shape),
        verdict=verdict,
        alone=alone,
        error64=e64.error,
        error32=e32.error,
        floor=floor,
        ratio=ratio,
        max_abs=e32.max_abs,
        snr_db=e32.snr_db,
        allowed64=allowed,
        vacuous=_vacuous(case, layer, tap),
    )


def _vacuous(case: Case, layer: str, tap: RecordedTap) -> tuple[str, ...]:
    site = case.port.site(layer)
    if site is None or tap.stage in (OUTPUT, VARIABLE):
        return ()
    module = case.port.module.get_submodule(site.own or site.module)
    value = case.original.value(tap, case.shapes[layer]) if isinstance(module, nn.ReLU | nn.ReLU6) else None
    found = vacuous(module, case.original.network.samples)
    return found if value is None else (*found, *vacuous_values(module, value))


def _missing(case: Case) -> None:
    """Declared tensors of the original that nothing in the port answers for."""
    answered = {tap.tensor for tap in case.chosen.values()}
    for tap in case.original.network.taps:
        other_stage = tap.layer in case.chosen and tap.stage != OUTPUT
        if not tap.declared or tap.tensor in answered or other_stage:
            continue
        name = tap.layer if tap.layer not in ("", OUTPUT) else tap.tf or tap.node
        case.unmatched.append(f"{case.port.network}: {name} ({tap.tf or tap.node}, {tap.op} {list(tap.shape)})")
        case.layers.append(_bare(case, name, tap.tf, tap.shape, MISSING, None, tap.stage, tap.node))


def _weights(case: Case, wrong: list[Mismatch]) -> None:
    """Tensors that no pass can judge are compared by value; so are those whose difference is below the passes' rounding."""
    own = case.port.module.state_dict()
    judged = {layer.name for layer in case.layers}
    wrong_layers = {mismatch.layer for mismatch in wrong}
    for name, weight in case.original.network.weights.items():
        layer = name.rpartition(".")[0] or name
        if layer not in judged and name in own:
            judged.add(layer)
            differs = float(layer in wrong_layers)
            row = _bare(case, layer, weight.tf, own[name].shape, FAULT if differs else PASS, differs, VARIABLE)
            case.layers.append(dataclasses.replace(row, vacuous=(UNSEEN,)))
    explained = {fault.layer for fault in case.faults}
    for layer in dict.fromkeys(mismatch.layer for mismatch in wrong if mismatch.layer not in explained):
        own_wrong = [mismatch for mismatch in wrong if mismatch.layer == layer]
        detail, cause = "; ".join(map(str, own_wrong)), CAUSES[own_wrong[0].cause]
        error = case.alone.get(layer, math.nan)
        case.faults.append(Fault(case.port.network, layer, own_wrong[0].cause, detail, cause.remedy, error, 0.0))
        _mark(case, layer)


def _joined(case: Case) -> None:
    """A chain that differs although each of its layers passes alone is joined otherwise than the original."""
    for layer in case.layers:
        if layer.verdict in (FAULT, MISSING):
            return
        if layer.verdict == CARRIED:
            error = math.nan if layer.error64 is None else layer.error64
            detail = "it passes alone, and so does every layer before it; what lies between them differs"
            remedy = "compare what the port does between this layer and those before it with the original's graph"
            case.faults.append(Fault(case.port.network, layer.name, "unknown", detail, remedy, error, error))
            _mark(case, layer.name)
            return


def _bare(case: Case, name: str, tf: str, shape: Iterable[int], verdict: str, error: float | None, stage: str, node: str = "") -> Layer:
    """A row of a layer that no pass has judged."""
    ratio = None if error is None else error / UNIT
    return Layer(
        network=case.port.network,
        name=name,
        tf=tf,
        node=node,
        stage=stage,
        shape=tuple(shape),
        verdict=verdict,
        alone=error,
        error64=error,
        error32=error,
        floor=UNIT,
        ratio=ratio,
        max_abs=None,
        snr_db=None,
        allowed64=EXACT,
    )


def _mark(case: Case, name: str) -> None:
    """Give a layer the verdict `fault`."""
    case.layers[:] = [dataclasses.replace(layer, verdict=FAULT) if layer.name == name else layer for layer in case.layers]
