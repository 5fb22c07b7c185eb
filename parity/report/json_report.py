"""report.json: the proof for programs (docs/verify.md and report.schema.json beside this file). No date, no path of the machine."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.json_files import plain, write_json
from stylexport.converter.output.ledger import TOOL
from stylexport.parity.result import Fault, Layer, Report
from stylexport.parity.verdict import EXACT

FORMAT = 1
SCHEMA = Path(__file__).with_name("report.schema.json")
_WORDS = {math.inf: "infinite", -math.inf: "-infinite"}


def to_json(report: Report) -> dict[str, Any]:
    """The report as `report.json` holds it.

    JSON has neither NaN nor infinities: they are null, and their row's `not_finite` says which they were. A null that is not named
    there is a judgement that was not made. `kernel_faults` is there only where the original has such a node.
    """
    first = report.first_fault
    # Only where there is one, so that a report without is what earlier versions of this format write.
    kernels = {"kernel_faults": [_row(fault) for fault in report.kernel_faults]} if report.kernel_faults else {}
    return {
        "format": FORMAT,
        "tool": dict(TOOL),
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "precision": report.precision,
        "device": plain(report.device),
        "coverage": {"taps": report.taps, "matched": report.matched, "unmatched": plain(report.unmatched)},
        "first_fault": None if first is None else _fault(first),
        "faults": [_fault(fault) for fault in report.faults],
        "gates": [_row(gate) for gate in report.gates],
        "losses": [_row(loss) for loss in report.losses],
        **kernels,
        "remarks": plain(report.remarks),
        "about": plain(report.about),
        "layers": [_layer(layer) for layer in report.layers],
    }


def write(report: Report, path: Path) -> None:
    """`to_json`, one line a layer."""
    write_json(path, to_json(report))


def _layer(layer: Layer) -> dict[str, Any]:
    """A layer. What it may be off by alone is there only where it is not the usual."""
    row = _row(layer)
    if row["allowed_alone"] == EXACT:
        del row["allowed_alone"]
    return row


def _fault(fault: Fault) -> dict[str, Any]:
    row = _row(fault)
    if fault.runner_up is not None:
        row["runner_up"] = _row(fault.runner_up)
    return row


def _row(fact: Any) -> dict[str, Any]:
    """A dataclass of plain fields, and which of its numbers JSON cannot hold."""
    values = {field.name: getattr(fact, field.name) for field in dataclasses.fields(fact)}
    lost = {key: _WORDS.get(float(value), "NaN") for key, value in values.items() if _is_lost(value)}
    return {**{key: plain(value) for key, value in values.items()}, "not_finite": lost}


def _is_lost(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and not math.isfinite(value)
