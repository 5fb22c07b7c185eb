"""A report on disk: programs can read it, continuous integration counts it, nothing of somebody else's is written over."""

from __future__ import annotations

import dataclasses
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.common.errors import BadInput
from stylexport.parity.report import SCHEMA, to_json, write
from stylexport.parity.result import Loss, Report
from stylexport.parity.verdict import NUMERIC
from tests.parity.reports import FAULTY, SECOND, clean, faulty
from tests.parity.schema import violations

SCHEMA_VALUES = json.loads(SCHEMA.read_text())
HOSTILE = 'a\x00b\x1b[31m<script>alert("1")</script>&\ud800.conv'


def no_number(word: str) -> Any:
    raise AssertionError(f"{word} is not JSON")


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text(), parse_constant=no_number)  # type: ignore[no-any-return]


def cases(folder: Path) -> dict[tuple[str, str], ET.Element]:
    suites = ET.parse(folder / "junit.xml").getroot()
    return {(str(case.get("classname")), str(case.get("name"))): case for case in suites.iter("testcase")}


def failure(case: ET.Element) -> dict[str, str]:
    found = case.find("failure")
    return dict(found.attrib) if found is not None else {}


def renamed(report: Report, name: str) -> Report:
    """A report in which everything that a file can name is called `name`."""
    layers = tuple(dataclasses.replace(layer, name=name, tf=name, node=name, network=name) for layer in report.layers[:3])
    faults = tuple(dataclasses.replace(fault, network=name, layer=name, detail=name, remedy=name) for fault in report.faults)
    changed = dataclasses.replace(report, layers=layers, faults=faults, unmatched=(name,), remarks=(name,), about={name: {name: name}})
    return dataclasses.replace(changed, labels=(name, name), taps=4, matched=3, device=name)


def test_a_folder_is_made_and_holds_three_files(tmp_path: Path) -> None:
    write(clean(), tmp_path / "a" / "b")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["index.html", "junit.xml", "report.json"]


@pytest.mark.parametrize("report", [clean(), faulty(), renamed(faulty(), HOSTILE)], ids=["clean", "faulty", "hostile"])
def test_report_json_is_as_its_schema_says(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path)
    assert list(violations(read(tmp_path), SCHEMA_VALUES, SCHEMA_VALUES)) == []


def test_the_schema_sees_a_verdict_that_is_none() -> None:
    values = to_json(faulty())
    values["layers"][3]["verdict"] = "nearly"
    del values["first_fault"]["runner_up"]["residual"]
    assert [found.split(" ")[0] for found in violations(values, SCHEMA_VALUES, SCHEMA_VALUES)] == [
        "$.first_fault.runner_up",
        "$.layers[3].verdict",
    ]


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(faulty(), tmp_path / folder)
    for name in ("report.json", "junit.xml", "index.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_first_fault_is_told_with_its_runner_up() -> None:
    first = to_json(faulty())["first_fault"]
    assert (first["network"], first["layer"], first["cause"], first["residual"]) == ("generator", FAULTY, "kernel_flipped", 3.4e-10)
    assert (first["runner_up"]["cause"], first["runner_up"]["residual"]) == ("kernel_transposed_hw", 0.41)


def test_a_clean_report_has_no_first_fault() -> None:
    values = to_json(clean())
    assert (values["verdict"], values["exit_code"], values["first_fault"]) == ("pass", 0, None)


def test_a_tensor_without_an_answer_is_exit_code_3() -> None:
    values = to_json(dataclasses.replace(clean(), taps=156, unmatched=("classifier: style",)))
    assert (values["verdict"], values["exit_code"]) == ("incomplete", 3)
    assert values["coverage"] == {"taps": 156, "matched": 155, "unmatched": ["classifier: style"]}


def test_what_json_cannot_hold_is_null_and_named(tmp_path: Path) -> None:
    write(faulty(), tmp_path)
    row = next(layer for layer in read(tmp_path)["layers"] if (layer["network"], layer["name"]) == ("encoder", SECOND))
    assert (row["alone"], row["error32"]) == (None, None)
    assert row["not_finite"] == {"alone": "NaN", "error64": "NaN", "error32": "infinite", "ratio": "NaN", "max_abs": "NaN", "snr_db": "NaN"}


def test_a_judgement_that_was_not_made_is_null_and_not_named() -> None:
    row = to_json(faulty())["layers"][-1]
    assert (row["verdict"], row["alone"], row["not_finite"]) == ("missing", None, {})


def test_every_layer_is_one_line(tmp_path: Path) -> None:
    write(clean(), tmp_path)
    lines = (tmp_path / "report.json").read_text().splitlines()
    assert sum(line.startswith('  {"network": ') and '"error64"' in line for line in lines) == len(clean().layers) == 155


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    settings = {"seed": np.int64(7), "range": np.array([-1.0, 0.5]), "odd": (np.float32(0.25), math.nan)}
    write(dataclasses.replace(clean(), about={"settings": settings}), tmp_path)
    assert read(tmp_path)["about"]["settings"] == {"seed": 7, "range": [-1.0, 0.5], "odd": [0.25, None]}


def test_junit_has_a_suite_a_network_and_a_case_a_layer(tmp_path: Path) -> None:
    write(clean(), tmp_path)
    suites = {suite.get("name"): suite for suite in ET.parse(tmp_path / "junit.xml").getroot()}
    assert list(suites) == ["generator", "encoder", "discriminator", "classifier", "coverage"]
    assert suites["encoder"].attrib == {"name": "encoder", "tests": "29", "failures": "0", "errors": "0", "skipped": "0"}
    assert ("generator", FAULTY) in cases(tmp_path)


def test_junit_says_cause_and_remedy_of_a_fault(tmp_path: Path) -> None:
    write(faulty(), tmp_path)
    told = failure(cases(tmp_path)["generator", FAULTY])
    assert told == {"type": "fault", "message": "kernel_flipped (weight is flipped in both axes): do not flip the kernel"}


def test_junit_counts_what_fails(tmp_path: Path) -> None:
    write(faulty(), tmp_path)
    suites = {suite.get("name"): suite.get("failures") for suite in ET.parse(tmp_path / "junit.xml").getroot()}
    assert suites == {"generator": "1", "encoder": "1", "discriminator": "0", "classifier": "2", "coverage": "2"}


def test_a_layer_that_only_carries_a_fault_does_not_fail(tmp_path: Path) -> None:
    write(faulty(), tmp_path)
    case = cases(tmp_path)["generator", "synthesis.b64.conv1"]
    assert failure(case) == {}
    assert str(case.findtext("system-out")).startswith("carried: its own judgement passes")


def test_poor_arithmetic_is_a_failure_of_another_type(tmp_path: Path) -> None:
    layers = list(clean().layers)
    layers[4] = dataclasses.replace(layers[4], verdict=NUMERIC, ratio=41.5)
    write(dataclasses.replace(clean(), layers=tuple(layers)), tmp_path)
    told = failure(cases(tmp_path)["generator", "mapping.fc4"])
    assert told == {"type": "numeric", "message": "41.5 times the rounding floor in fp32: poor arithmetic"}


def test_gates_and_tensors_without_an_answer_are_cases(tmp_path: Path) -> None:
    write(faulty(), tmp_path)
    found = cases(tmp_path)
    assert failure(found["classifier", "gate: inputs with another answer"]) == {}
    assert failure(found["classifier", "gate: largest difference of a probability"])["type"] == "gate"
    assert failure(found["coverage", "classifier: style (classifier/style, BiasAdd [4, 2])"])["type"] == "unmatched"
    assert failure(found["coverage", "taps"])["message"].startswith("155 of 156 tensors")


def test_a_fault_of_no_layer_of_the_list_is_a_case_too(tmp_path: Path) -> None:
    report = faulty()
    write(dataclasses.replace(report, layers=report.layers[:5]), tmp_path)
    assert failure(cases(tmp_path)["generator", FAULTY])["type"] == "fault"


def test_names_that_xml_does_not_admit_are_written_out(tmp_path: Path) -> None:
    write(renamed(faulty(), HOSTILE), tmp_path)
    written = 'a\\x00b\\x1b[31m<script>alert("1")</script>&\\ud800.conv'
    assert (written, written) in cases(tmp_path)


def test_losses_of_a_lower_precision_are_kept() -> None:
    report = dataclasses.replace(clean(), precision="bf16", gates=(), losses=(Loss("encoder", "b8.conv1", 2.5e-3, 0.64),))
    assert to_json(report)["losses"] == [{"network": "encoder", "layer": "b8.conv1", "error": 2.5e-3, "ratio": 0.64, "not_finite": {}}]


def test_an_older_report_is_replaced_and_its_neighbours_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(faulty(), tmp_path)
    write(clean(), tmp_path)
    assert read(tmp_path)["verdict"] == "pass"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_page_of_somebody_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>mine")
    with pytest.raises(BadInput, match=r"holds index\.html of something else than a report; name another folder"):
        write(clean(), tmp_path)
    assert (tmp_path / "index.html").read_text() == "<p>mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_is_no_folder(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="file"):
        write(clean(), tmp_path / "file" / below)
