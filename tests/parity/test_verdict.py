"""The rules of a verdict, all of which stand in one file."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import pytest

from stylexport.parity import verdict
from stylexport.parity.verdict import EXACT, UNIT, Evidence, allowed_alone, allowed_in_chain, layer_verdict, network_verdicts, proof_verdict

RIGHT = Evidence(alone=2e-9, error64=3e-8, allowed64=4e-7, ratio=1.5, elements=5000)
CARRIED, FAULT, MISSING = (dataclasses.replace(RIGHT, **changed) for changed in ({"error64": 0.3}, {"alone": 0.3}, {"answered": False}))


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, "pass"),
        ({"alone": EXACT}, "pass"),
        ({"alone": 1.01 * EXACT}, "fault"),
        ({"alone": 2.1 * EXACT, "allowed_alone": allowed_alone(2)}, "pass"),
        ({"alone": 2.3 * EXACT, "allowed_alone": allowed_alone(2)}, "fault"),
        ({"error64": 4.1e-7}, "carried"),
        ({"ratio": 8.1}, "numeric"),
        ({"ratio": 8.1, "elements": 999}, "pass"),
        ({"ratio": 16.1, "elements": 999}, "numeric"),
        ({"ratio": None}, "pass"),
        ({"answered": False, "alone": math.nan}, "missing"),
        ({"other_values": True}, "fault"),
    ],
)
def test_a_layer_is_called_what_its_worst_number_makes_it(changed: dict[str, float], wanted: str) -> None:
    assert layer_verdict(dataclasses.replace(RIGHT, **changed)) == wanted


@pytest.mark.parametrize(("field", "wanted"), [("alone", "fault"), ("error64", "carried"), ("ratio", "numeric")])
def test_nan_passes_no_comparison(field: str, wanted: str) -> None:
    assert layer_verdict(dataclasses.replace(RIGHT, **{field: math.nan})) == wanted


def test_the_first_wrong_layer_of_a_network_without_a_fault_is_at_fault() -> None:
    assert network_verdicts([RIGHT, CARRIED, CARRIED]) == ["pass", "fault", "carried"]


@pytest.mark.parametrize(("before", "called"), [(FAULT, "fault"), (MISSING, "missing")])
def test_behind_a_fault_or_a_missing_tensor_a_layer_only_carries_it(before: Evidence, called: str) -> None:
    assert network_verdicts([before, CARRIED]) == [called, "carried"]


@pytest.mark.parametrize(
    ("layers", "faults", "covered", "gates_hold", "wanted"),
    [
        (["pass", "numeric", "fault"], 0, False, False, "fault"),
        (["pass"], 1, True, True, "fault"),
        (["pass", "numeric"], 0, False, False, "incomplete"),
        (["pass", "numeric"], 0, True, True, "numeric"),
        (["pass"], 0, True, False, "numeric"),
        (["pass", "pass"], 0, True, True, "pass"),
    ],
)
def test_a_fault_goes_before_coverage_and_that_before_poor_arithmetic(
    layers: list[str], faults: int, covered: bool, gates_hold: bool, wanted: str
) -> None:
    assert proof_verdict(layers, faults=faults, covered=covered, gates_hold=gates_hold) == wanted


def test_the_chain_is_allowed_its_rounded_constants_or_what_rounding_grew_to() -> None:
    assert allowed_in_chain(20, UNIT) == pytest.approx(EXACT + 20 * UNIT)
    assert allowed_in_chain(20, 1e-5) == pytest.approx(8e-5)


def test_no_other_file_of_the_room_holds_these_thresholds() -> None:
    room = Path(verdict.__file__).parent
    others = [path for path in room.rglob("*.py") if path.name != "verdict.py"]
    assert len(others) > 40
    assert [path.name for path in others if re.search(r"\b1e-0?7\b|2(\.0)? ?\*\* ?-24", path.read_text().split('"""', 2)[-1])] == []
