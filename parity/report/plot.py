"""Error against depth, a plot a network: where the marks, the band and the names stand. The template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stylexport.pages.svg import Frame, band, levels, line
from stylexport.parity.report.words import number, times
from stylexport.parity.result import Layer, Report
from stylexport.parity.verdict import EXACT, FAULT, allowed_ratio

FRAME = Frame(width=470, height=290, left=46, right=460, top=12, bottom=262)
LEAST = 1e-13  # smaller errors stand on the frame's lower edge
NAMES, NAME_HEIGHT, TICK_SPACE = 5, 15, 34
CAPS = 6.2  # a letter's width
SERIES = ("error32", "error64", "alone")


@dataclass(frozen=True)
class Mark:
    """A layer's error: its place, its series, whether the layer is at fault, its row in the table, what hovering says."""

    x: float
    y: float
    series: str
    fault: bool
    row: int
    title: str


@dataclass(frozen=True)
class Name:
    """A faulty layer's name, the line from it down to its mark, and where the text is anchored."""

    x: float
    y: float
    to: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Plot:
    """One network. `band` is the polygon from the floor to what float32 is allowed, `allowed` the line of what float64 is in the chain.

    `limit` is the height of what a layer alone is allowed; `decades` and `blocks` are the marks on the axes.
    """

    network: str
    band: str
    allowed: str
    limit: float
    marks: tuple[Mark, ...]
    names: tuple[Name, ...]
    decades: tuple[tuple[float, str], ...]
    blocks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class _Scale:
    """The common logarithmic axis: its lowest and highest power of ten."""

    low: int
    high: int

    def y(self, value: float) -> float:
        """Where a value stands; not finite is above everything."""
        if not math.isfinite(value):
            return FRAME.top
        place = (math.log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return FRAME.y(min(place, 1.0))

    def decades(self) -> tuple[tuple[float, str], ...]:
        """The lines of the grid, every second where they are many."""
        step = 1 if self.high - self.low <= 8 else 2
        return tuple((self.y(10.0**power), f"1e{power}" if power else "1") for power in range(self.low, self.high + 1, step))


def plots(report: Report) -> list[Plot]:
    """One plot a network, all with the same axis of errors."""
    rows = list(enumerate(report.layers))
    scale = _scale(report.layers)
    networks = dict.fromkeys(layer.network for layer in report.layers)
    return [_plot(network, [(row, layer) for row, layer in rows if layer.network == network], scale, report) for network in networks]


def _scale(layers: Iterable[Layer]) -> _Scale:
    values = [
        value for layer in layers for value in (layer.alone, layer.error64, layer.error32, layer.floor, _top(layer)) if value is not None
    ]
    seen = [max(value, LEAST) for value in values if math.isfinite(value) and value > 0] or [1e-9, 1e-5]
    low, high = math.floor(math.log10(min(seen))), math.ceil(math.log10(max(seen)))
    return _Scale(low, max(high, low + 1))


def _top(layer: Layer) -> float:
    return layer.floor * allowed_ratio(math.prod(layer.shape))


def _plot(network: str, rows: Sequence[tuple[int, Layer]], scale: _Scale, report: Report) -> Plot:
    layers = [layer for _, layer in rows]
    xs = [FRAME.x((i + 0.5) / len(layers)) for i in range(len(layers))]
    edges = [FRAME.x(i / len(layers)) for i in range(len(layers) + 1)]
    upper, lower = levels(edges, [scale.y(_top(layer)) for layer in layers]), levels(edges, [scale.y(layer.floor) for layer in layers])
    return Plot(
        network=network,
        band=band(upper[0], upper[1], lower[1]),
        allowed=line(*levels(edges, [scale.y(layer.allowed64) for layer in layers])),
        limit=scale.y(EXACT),
        marks=tuple(mark for x, (row, layer) in zip(xs, rows, strict=True) for mark in _marks(x, row, layer, scale, report.precision)),
        names=_names(xs, layers, scale),
        decades=scale.decades(),
        blocks=_blocks(xs, layers),
    )


def _marks(x: float, row: int, layer: Layer, scale: _Scale, precision: str) -> Iterable[Mark]:
    errors = (layer.error32, layer.error64, layer.alone)
    said = (
        f"{layer.name}: {layer.verdict}. Alone {number(layer.alone)}; in the chain {number(layer.error64)} in float64, "
        f"{number(layer.error32)} in {precision}, {times(layer.ratio)} times the floor {number(layer.floor)}"
    )
    for series, error in zip(SERIES, errors, strict=True):
        if error is not None:
            yield Mark(x, scale.y(error), series, layer.verdict == FAULT, row, said)


def _names(xs: Sequence[float], layers: Sequence[Layer], scale: _Scale) -> tuple[Name, ...]:
    """The faulty layers' names under each other at the top, so that they never overlap; the table has those for which no place is left."""
    faulty = [(x, layer) for x, layer in zip(xs, layers, strict=True) if layer.verdict == FAULT][:NAMES]
    names = []
    for i, (x, layer) in enumerate(faulty):
        y = FRAME.top + 14.0 + i * NAME_HEIGHT
        highest = min(scale.y(value) for value in (layer.alone, layer.error64, layer.error32, layer.floor) if value is not None)
        fits_right = x + 6 + CAPS * len(layer.name) < FRAME.right
        names.append(Name(x, y, max(highest, y), "start" if fits_right else "end", layer.name))
    return tuple(names)


def _blocks(xs: Sequence[float], layers: Sequence[Layer]) -> tuple[tuple[float, str], ...]:
    """The first part of the layers' names below the axis, where it changes and there is room."""
    shown: list[tuple[float, str]] = []
    before, free = "", 0.0
    for x, layer in zip(xs, layers, strict=True):
        block = layer.name.split(".")[0]
        if block != before and x >= free and x + CAPS * len(block) <= FRAME.right + 6:
            shown.append((x, block))
            free = x + max(CAPS * len(block) + 8, TICK_SPACE)
        before = block
    return tuple(shown)
