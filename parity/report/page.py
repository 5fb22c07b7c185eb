"""index.html: the facts that the template report.html shows, and nothing that needs a network to be seen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from stylexport.common.text import counted, printable
from stylexport.converter.output.ledger import TOOL
from stylexport.pages.render import render
from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.report import pictures, plot, words
from stylexport.parity.result import Layer, Report
from stylexport.parity.verdict import EXACT, PASS, SMALL, TIMES_FLOOR, TIMES_FLOOR_SMALL

TEMPLATE = Path(__file__).parent / "templates" / "report.html"
LOSSES = 12  # layers shown that lose most


@dataclass(frozen=True)
class Table:
    """A network's layers, each with its row's number in the whole report, and what they come to."""

    network: str
    summary: str
    rows: tuple[tuple[int, Layer], ...]


def write(report: Report, target: Path) -> None:
    """The page, whole or not at all."""
    render(TEMPLATE, target, **facts(report))


def facts(report: Report) -> dict[str, Any]:
    """What the template names."""
    places = {(layer.network, layer.name): row for row, layer in enumerate(report.layers)}
    return {
        "report": report,
        "tool": TOOL,
        "headline": words.headline(report),
        "because": words.because(report),
        "causes": CAUSES,
        "figures": tuple(_figures(report)),
        "sureness": words.sureness,
        "number": words.number,
        "times": words.times,
        "path": _path,
        "row_of": lambda network, layer: places.get((network, layer)),
        "frame": plot.FRAME,
        "plots": plot.plots(report),
        "images": pictures.side_by_side(report),
        "heats": pictures.heats(report.pictures.maps),
        "maps": report.pictures.maps,
        "channels": pictures.channels(report.pictures.maps),
        "probabilities": pictures.probabilities(report),
        "vacuous": [layer for layer in report.layers if layer.vacuous],
        "losses": sorted(report.losses, key=lambda loss: -loss.ratio)[:LOSSES],
        "tables": tuple(_tables(report)),
        "about": tuple(_flat(report.about)),
        "exact": EXACT,
        "limits": (f"{TIMES_FLOOR:.0f}", f"{TIMES_FLOOR_SMALL:.0f}", f"{SMALL:,}"),
    }


def _path(name: str) -> Markup:
    """A module's path or a scope, which may be broken behind its dots and slashes."""
    return Markup(re.sub(r"([./])", r"\1<wbr>", str(escape(printable(name)))))


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    """The few numbers below the verdict: what, how much."""
    passing = sum(layer.verdict == PASS for layer in report.layers)
    yield "tensors covered", f"{report.matched} of {report.taps}"
    yield "layers that pass", f"{passing} of {len(report.layers)}"
    yield "worst layer alone", words.number(words.worst(layer.alone for layer in report.layers))
    ratio = words.worst(words.judged_ratio(report, layer) for layer in report.layers)
    yield f"worst in {report.precision}, times {'the floor' if report.precision == 'fp32' else 'its rounding'}", words.times(ratio)
    if report.gates:
        yield "gates that hold", f"{sum(gate.passed for gate in report.gates)} of {len(report.gates)}"
    yield "run on", report.device


def _tables(report: Report) -> Iterator[Table]:
    rows = list(enumerate(report.layers))
    for network in dict.fromkeys(layer.network for layer in report.layers):
        own = tuple((row, layer) for row, layer in rows if layer.network == network)
        counts = Counter(layer.verdict for _, layer in own)
        summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in words.SEVERITY if counts[verdict])
        yield Table(network, f"{counted(len(own), 'layer')}: {summary}", own)


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as rows: `release › generator › sha256`, and the value as text."""
    for key, value in values.items():
        name = f"{path} › {key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, name)
        elif isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
            for i, item in enumerate(value):
                yield from _flat(item if isinstance(item, Mapping) else {"": item}, f"{name} › {i + 1}")
        else:
            yield name, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
