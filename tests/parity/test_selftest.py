"""The proof of the proof on the embedded release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.selftest.selftest import Selftest, selftest
from tests.conftest import run


@pytest.fixture(scope="module")
def found(converted: Path, recorded: Path) -> Selftest:
    return selftest(converted, recorded)


def test_every_fault_is_detected_at_its_layer(found: Selftest) -> None:
    assert len(found.trials) > 100
    assert [trial.injection for trial in found.trials if not (trial.detected and trial.placed)] == []
    assert found.false_alarms == ()


def test_nine_causes_in_ten_are_named(found: Selftest) -> None:
    assert found.share(lambda trial: trial.named) >= 0.9


def test_every_cause_is_tried(found: Selftest) -> None:
    # No known network pools or resizes by code of its own, runs a layer twice, is recurrent, or normalises but by BatchNorm.
    of_users = set("pooling resizing number_of_calls parameter_place gate_order reset_gate update_gate forget_bias direction".split())
    of_users |= {"attention", "norm_epsilon", "norm_groups"}
    assert set(CAUSES) - {"unknown"} - of_users == set(found.by_cause())


def test_a_named_cause_leaves_rounding(found: Selftest) -> None:
    assert max(trial.residual or 0.0 for trial in found.trials if trial.named) <= 1e-7


def test_the_command_prints_the_three_shares(converted: Path, recorded: Path) -> None:
    ran = run("selftest", converted, "--against", recorded, "--network", "discriminator", "--json")
    shares = json.loads(ran.out)
    assert ran.code == 0
    assert (shares["detected"], shares["layer_named"]) == (1.0, 1.0)
