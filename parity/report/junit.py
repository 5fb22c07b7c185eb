"""junit.xml: a suite a network, a case a layer and a gate, and a suite for the coverage, as continuous integration reads them.

Nodes at which the original's own float32 disagrees with its float64 replay are cases that pass, in a suite of their own: the port is
not at fault.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stylexport.common.text import printable
from stylexport.parity.report.words import number, sureness, times
from stylexport.parity.result import Fault, Gate, Layer, Report
from stylexport.parity.verdict import CARRIED, FAULT, MISSING, NUMERIC, REORDERED


@dataclass(frozen=True)
class _Case:
    """A case: `failure` is its type ("" where it passes), `message` one line, `body` the figures."""

    name: str
    failure: str
    message: str
    body: str


def write(report: Report, path: Path) -> None:
    """The report as JUnit's XML. What XML does not admit in names is written out."""
    suites = ET.Element("testsuites", name="stylexport verify")
    for network in dict.fromkeys([*(layer.network for layer in report.layers), *(gate.network for gate in report.gates)]):
        _suite(suites, network, list(_network(report, network)))
    _suite(suites, "coverage", list(_coverage(report)))
    if report.kernel_faults:
        nodes = [_Case(f"{fault.network}: {fault.tensor}", "", "", fault.detail) for fault in report.kernel_faults]
        _suite(suites, "the original's own float32", nodes)
    tree = ET.ElementTree(suites)
    ET.indent(tree, " ")
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _suite(suites: ET.Element, name: str, cases: list[_Case]) -> None:
    failures = sum(bool(case.failure) for case in cases)
    suite = ET.SubElement(suites, "testsuite", name=printable(name), tests=str(len(cases)), failures=str(failures), errors="0", skipped="0")
    for case in cases:
        element = ET.SubElement(suite, "testcase", classname=printable(name), name=printable(case.name))
        if case.failure:
            failure = ET.SubElement(element, "failure", type=case.failure, message=printable(case.message))
            failure.text = printable(case.body, lines=True)
        else:
            ET.SubElement(element, "system-out").text = printable(case.body, lines=True)


def _network(report: Report, network: str) -> Iterator[_Case]:
    faults = {fault.layer: fault for fault in report.faults if fault.network == network}
    layers = [layer for layer in report.layers if layer.network == network]
    for layer in layers:
        yield _layer(layer, faults.get(layer.name) if layer.verdict == FAULT else None, report.precision)
    shown = {layer.name for layer in layers if layer.verdict == FAULT}
    for name, fault in faults.items():
        if name not in shown:
            yield _Case(name, FAULT, _message(fault), sureness(fault))
    for gate in report.gates:
        if gate.network == network:
            yield _gate(gate)


def _layer(layer: Layer, fault: Fault | None, precision: str) -> _Case:
    figures = (
        f"alone {number(layer.alone)}, in the chain {number(layer.error64)} in float64 (allowed {number(layer.allowed64)}), "
        f"{number(layer.error32)} in {precision} ({times(layer.ratio)} times the floor "
        f"{number(layer.floor)}); TensorFlow: {layer.tf}, {layer.node}"
    )
    if layer.vacuous:
        figures += f"; not seen: {', '.join(layer.vacuous)}"
    if fault is not None:
        return _Case(layer.name, FAULT, _message(fault), f"{figures}\n{sureness(fault)}")
    if layer.verdict == FAULT:
        return _Case(layer.name, FAULT, f"alone {number(layer.alone)}: a different function", figures)
    if layer.verdict == NUMERIC:
        return _Case(layer.name, NUMERIC, f"{times(layer.ratio)} times the rounding floor in {precision}: poor arithmetic", figures)
    if layer.verdict == MISSING:
        return _Case(layer.name, MISSING, f"the port gave nothing to compare with {layer.tf}", figures)
    if layer.verdict == REORDERED:
        figures = f"another order of the same sum: the sum in which its value goes agrees; {figures}"
    if layer.verdict == CARRIED:
        figures = f"carried: its own judgement passes, it is wrong only because of what came in; {figures}"
    return _Case(layer.name, "", "", figures)


def _message(fault: Fault) -> str:
    detail = f" ({fault.detail})" if fault.detail else ""
    return f"{fault.cause}{detail}: {fault.remedy}"


def _gate(gate: Gate) -> _Case:
    figures = f"{gate.value:.6g}, limit {gate.limit:.6g}"
    return _Case(f"gate: {gate.name}", "" if gate.passed else "gate", f"{gate.name}: {figures}", figures)


def _coverage(report: Report) -> Iterator[_Case]:
    said = f"{report.matched} of {report.taps} tensors of the original have a layer that answers for them"
    yield _Case("taps", "" if report.matched >= report.taps else "unmatched", said, said)
    for name in report.unmatched:
        message = f"no layer of the port answers for {name}"
        yield _Case(name, "unmatched", message, f"{message}; map it, or add the layer that is missing")
