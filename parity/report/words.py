"""The report's sentences and figures, the same in the terminal, in junit.xml and on the page."""

from __future__ import annotations

import math
from collections.abc import Iterable

from stylexport.common.text import counted
from stylexport.parity.result import Fault, Layer, Report
from stylexport.parity.verdict import (
    CARRIED,
    EXACT,
    FAULT,
    INCOMPLETE,
    MISSING,
    NUMERIC,
    PASS,
    REORDERED,
    SMALL,
    TIMES_FLOOR,
    TIMES_FLOOR_SMALL,
)

VERDICTS = {
    PASS: "the same function",
    NUMERIC: "the right function, in poor arithmetic",
    FAULT: "a different function",
    INCOMPLETE: "not proved: tensors of the original are without an answer",
}
# Worst first: what a block is called that holds several.
SEVERITY = (FAULT, MISSING, NUMERIC, CARRIED, REORDERED, PASS)


def number(value: float | None) -> str:
    """An error as it is read: 3.1e-09; `-` where no judgement was made."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if value != value else "infinite" if value > 0 else "-infinite"
    return f"{value:.1e}" if value else "0"


def times(value: float | None) -> str:
    """How many times the rounding floor: 3.2, and 4.0e+05 where it is far away."""
    return f"{value:.1f}" if value is not None and math.isfinite(value) and abs(value) < 1000 else number(value)


def judged_ratio(report: Report, layer: Layer) -> float | None:
    """What the arithmetic is judged by: in float32 the error over the original's rounding, below it over the precision's own."""
    if report.precision == "fp32":
        return layer.ratio
    return next((loss.ratio for loss in report.losses if (loss.network, loss.layer) == (layer.network, layer.name)), None)


def worst(values: Iterable[float | None]) -> float | None:
    """The largest that was measured; NaN where one is, None where there is none."""
    measured = [value for value in values if value is not None]
    return next((value for value in measured if value != value), max(measured, default=None))


def severest(verdicts: Iterable[str]) -> str:
    """The verdict of a block: the worst of its layers'."""
    found = set(verdicts)
    return next((verdict for verdict in SEVERITY if verdict in found), PASS)


def headline(report: Report) -> str:
    """The verdict in a line."""
    return f"{report.verdict}: {VERDICTS[report.verdict]}"


def because(report: Report) -> str:
    """Why the verdict is what it is, in a sentence or two."""
    why = {PASS: _why_pass, NUMERIC: _why_numeric, FAULT: _why_fault, INCOMPLETE: _why_incomplete}[report.verdict](report)
    return f"{why} {by_float64_alone(report)}".rstrip()


def sureness(fault: Fault) -> str:
    """What is left of the error with the cause put right, against the next best explanation."""
    said = f"the layer's own error is {number(fault.error)}; with this put right {number(fault.residual)} is left"
    if fault.runner_up is None:
        return f"{said}; no other explanation was tried"
    return f"{said}; with the next best explanation, {fault.runner_up.cause}, {number(fault.runner_up.residual)}"


def _rounding(report: Report) -> str:
    return "the rounding floor" if report.precision == "fp32" else f"the rounding of {report.precision}"


def of_the_original(report: Report) -> list[str]:
    """The nodes at which the original's own float32 disagrees with its float64 replay, one sentence each."""
    return [f"{fault.network}: {fault.detail}" for fault in report.kernel_faults]


def by_float64_alone(report: Report) -> str:
    """How many layers are judged without the original's float32, because a kernel of it is wrong; empty where none is."""
    networks = {fault.network for fault in report.kernel_faults}
    count = sum(layer.network in networks and layer.verdict != MISSING and layer.ratio is None for layer in report.layers)
    if not networks:
        return ""
    return (
        f"The original's own float32 disagrees with its float64 replay at {counted(len(report.kernel_faults), 'node')}; "
        f"{counted(count, 'layer')} there and behind {'is' if count == 1 else 'are'} judged by float64 alone."
    )


def _why_pass(report: Report) -> str:
    alone, ratio = worst(layer.alone for layer in report.layers), worst(judged_ratio(report, layer) for layer in report.layers)
    limits = f"limit {TIMES_FLOOR:.0f}, of tensors under {SMALL:,} elements {TIMES_FLOOR_SMALL:.0f}"
    more = ", more for each constant that the original rounds" if alone is not None and alone > EXACT else ""
    return (
        f"All {counted(report.taps, 'tensor')} of the original agree: at worst {number(alone)} alone in float64 (limit {EXACT:.0e}{more}) "
        f"and {times(ratio)} times {_rounding(report)} ({limits})."
    )


def _why_numeric(report: Report) -> str:
    beyond = [layer for layer in report.layers if layer.verdict == NUMERIC]
    failing = [f"{gate.network}, {gate.name} ({gate.value:.6g}, limit {gate.limit:.6g})" for gate in report.gates if not gate.passed]
    said = ["Every layer alone computes the original's function."]
    if beyond:
        lose, first = "loses" if len(beyond) == 1 else "lose", beyond[0]
        ratio = times(judged_ratio(report, first))
        said.append(
            f"{counted(len(beyond), 'layer')} {lose} more in {report.precision} than rounding explains; the first is "
            f"{first.network} {first.name}, {ratio} times {_rounding(report)}."
        )
    if failing:
        said.append(f"What does not hold: {'; '.join(failing)}.")
    return " ".join(said)


def _why_fault(report: Report) -> str:
    wrong = [layer for layer in report.layers if layer.verdict == FAULT]
    carried = sum(layer.verdict == CARRIED for layer in report.layers)
    count = max(len(report.faults), len({(layer.network, layer.name) for layer in wrong}))
    passed_on = f"; {counted(carried, 'layer')} behind only carry it on" if carried else ""
    return f"{counted(count, 'layer')} at fault{passed_on}."


def _why_incomplete(report: Report) -> str:
    return f"{report.taps - report.matched} of {counted(report.taps, 'tensor')} of the original have no layer that answers for them."
