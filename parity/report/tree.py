"""The report in the terminal: the verdict, the first fault, and a tree of layers in which what passes is folded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from stylexport.common.text import counted, printable
from stylexport.parity.report.words import (
    SEVERITY,
    because,
    headline,
    number,
    of_the_original,
    severest,
    sureness,
    times,
    worst,
)
from stylexport.parity.result import Fault, Layer, Report
from stylexport.parity.verdict import CARRIED, FAULT, INCOMPLETE, MISSING, NUMERIC, PASS, REORDERED

STYLES = {
    PASS: "green",
    REORDERED: "green",
    NUMERIC: "yellow",
    CARRIED: "yellow",
    FAULT: "bold red",
    MISSING: "bold red",
    INCOMPLETE: "bold red",
}
FOLDED = (PASS, CARRIED)
SHOWN = 8  # entries of a list before it is cut: report.json has all


@dataclass
class _Block:
    """A part of a module's path: the layers that end here, and the parts below, in the order of execution."""

    layers: list[Layer] = field(default_factory=list)
    below: dict[str, _Block] = field(default_factory=dict)

    def all(self) -> list[Layer]:
        """Its layers and those below."""
        return [*self.layers, *(layer for block in self.below.values() for layer in block.all())]


def print_tree(report: Report, console: Console) -> None:
    """Verdict, first fault with its cause and remedy, what else does not hold, the tree. Plain text where the console is not a terminal."""
    _say(console, headline(report), STYLES[report.verdict])
    _say(console, because(report))
    if report.first_fault is not None:
        _say_fault(console, report.first_fault)
    _say_list(console, "other faults", [f"{f.network} {f.layer}: {f.cause}" for f in report.faults[1:]])
    _say_list(console, "without an answer", list(report.unmatched))
    _say_list(console, "does not hold", [f"{g.network} {g.name}: {g.value:.6g}, limit {g.limit:.6g}" for g in report.gates if not g.passed])
    losses = sorted(report.losses, key=lambda loss: -loss.ratio)[:SHOWN]
    _say_list(console, f"lose most in {report.precision}", [f"{x.network} {x.layer}: {times(x.ratio)} times its rounding" for x in losses])
    _say_list(console, "the original's own float32 disagrees with its float64 replay", of_the_original(report))
    for remark in report.remarks:
        _say(console, f"remark: {remark}")
    for network in dict.fromkeys(layer.network for layer in report.layers):
        console.print(tree(report, network))
    vacuous = sum(bool(layer.vacuous) for layer in report.layers)
    if vacuous:
        _say(
            console,
            f"{counted(vacuous, 'layer')} cannot show all (zeros, symmetric kernels, bounds that no value reaches): listed in the report",
        )


def tree(report: Report, network: str) -> Tree:
    """One network: a block is one line unless a layer of it fails by itself; then it is opened."""
    root = _Block()
    for layer in report.layers:
        if layer.network == network:
            block = root
            for part in (*layer.name.split("."), f"({layer.stage})"):
                block = block.below.setdefault(part, _Block())
            block.layers.append(layer)
    causes = {fault.layer: fault.cause for fault in report.faults if fault.network == network}
    drawn = Tree(_block_line(network, root.all()), guide_style="dim")
    for part, below in root.below.items():
        _draw(drawn, part, below, causes)
    return drawn


def _draw(parent: Tree, name: str, block: _Block, causes: dict[str, str]) -> None:
    layers = block.all()
    if len(layers) == 1:
        last = layers[0].name.rpartition(".")[2]
        parent.add(_layer_line(name if block.layers or name == last else layers[0].name, layers[0], causes))
    elif severest(layer.verdict for layer in layers) in FOLDED:
        parent.add(_block_line(name, layers))
    else:
        opened = parent.add(_block_line(name, layers))
        for layer in block.layers:
            opened.add(_layer_line(name, layer, causes))
        for part, below in block.below.items():
            _draw(opened, part, below, causes)


def _block_line(name: str, layers: list[Layer]) -> Text:
    verdict = severest(layer.verdict for layer in layers)
    said = counted(len(layers), "layer")
    if verdict == PASS:
        alone, ratio = worst(layer.alone for layer in layers), worst(layer.ratio for layer in layers)
        said += f", at worst {number(alone)} alone, {times(ratio)} x floor"
    elif len(counts := Counter(layer.verdict for layer in layers)) > 1:
        said += ": " + ", ".join(f"{counts[word]} {word}" for word in SEVERITY if counts[word])
    return _line(name, verdict, said)


def _layer_line(name: str, layer: Layer, causes: dict[str, str]) -> Text:
    said = f"{number(layer.alone)} alone, {times(layer.ratio)} x floor" if layer.verdict != MISSING else "nothing to compare"
    if layer.verdict == FAULT and layer.name in causes:
        said = f"{causes[layer.name]}; {said}"
    return _line(name, layer.verdict, said)


def _line(name: str, verdict: str, said: str) -> Text:
    return Text.assemble(printable(name), "  ", (verdict, STYLES[verdict]), "  ", (said, "dim"))


def _say_fault(console: Console, fault: Fault) -> None:
    _say(console, f"first fault: {fault.network} {fault.layer}: {fault.cause}", STYLES[FAULT])
    for name, said in (("found", fault.detail), ("remedy", fault.remedy), ("how sure", sureness(fault))):
        if said:
            _say(console, f"  {name}: {said}")


def _say_list(console: Console, name: str, entries: list[str]) -> None:
    if entries:
        _say(console, f"{name}:")
        for entry in entries[:SHOWN]:
            _say(console, f"  {entry}")
        if len(entries) > SHOWN:
            _say(console, f"  and {len(entries) - SHOWN} more")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(printable(text), style=style))
