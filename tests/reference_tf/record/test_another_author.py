"""A release that another author wrote, with the released names alone in common with ours, is converted, recorded and proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from stylexport.converter.output.convert import convert
from stylexport.parity.proof import verify
from stylexport.parity.result import Report
from stylexport.reference_tf.record import record
from tests.reference_tf.record.another_arithmetic import FUSED, PLAIN, Hand
from tests.reference_tf.record.another_author import Sizes, save
from tests.reference_tf.record.another_classifier import applications, bare

pytestmark = pytest.mark.tensorflow

OTHER_CONSTANTS = {"slope": 0.1, "gain": 1.25, "residual": 0.6, "fir": (1.0, 4.0, 2.0, 1.0), "epsilon": 1e-6, "group": 2}
HANDS = {
    "a kernel a sample": FUSED,
    "scaled maps": PLAIN,
    "the gain first": replace(FUSED, gain_at="before", residual_first=True),
    "no members": replace(PLAIN, members=()),
    "other constants": replace(FUSED, **OTHER_CONSTANTS),
}
# x^0.5 is not a square root to the converter, so that of this hand the epsilon under it stays the paper's.
HIDING = replace(PLAIN, **OTHER_CONSTANTS)


Proof = Callable[[Hand], tuple[Path, Report]]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    """A hand's release converted, and the report of its proof; each is made once."""

    @cache
    def of(hand: Hand) -> tuple[Path, Report]:
        folder = save(tmp_path_factory.mktemp("another"), Sizes(), hand)
        convert(folder, folder / "converted")
        record([folder], folder / "recording", samples=4)
        return folder / "converted", verify(folder / "converted", folder / "recording")

    return of


@pytest.mark.parametrize("hand", HANDS.values(), ids=HANDS)
def test_the_port_of_another_authors_graph_passes_with_every_tap(hand: Hand, proof: Proof) -> None:
    _, report = proof(hand)
    assert report.verdict == "pass", [(fault.layer, fault.cause) for fault in report.faults]
    assert report.matched == report.taps == 50
    assert max(layer.alone or 0.0 for layer in report.layers) < 6e-8
    assert max(layer.ratio or 0.0 for layer in report.layers if layer.name != "output") < 8


@pytest.mark.parametrize("hand", [HANDS["other constants"], HIDING], ids=["behind", "inside"])
def test_constants_that_the_graph_tells_are_read_however_they_are_written(hand: Hand, proof: Proof) -> None:
    converted, _ = proof(hand)
    encoder = json.loads((converted / "encoder" / "config.json").read_text())
    assert [encoder[name] for name in ("leaky_slope", "gain", "residual_scale")] == pytest.approx([0.1, 1.25, 0.6], rel=1e-6)
    assert encoder["fir"] == [1.0, 4.0, 2.0, 1.0]


def test_a_constant_that_the_graph_hides_is_named_by_the_proof(proof: Proof) -> None:
    _, report = proof(HIDING)
    assert [(fault.network, fault.layer, fault.cause) for fault in report.faults] == [("discriminator", "b4.mbstd", "mbstd")]


def test_a_mapping_that_only_the_whole_call_reaches_is_proved_too(proof: Proof) -> None:
    _, report = proof(PLAIN)
    mapping = [layer for layer in report.layers if layer.name.startswith("mapping.")]
    assert [(layer.name, layer.stage) for layer in mapping] == [(f"mapping.fc{i}", "activation") for i in range(3)]
    assert any("before the dlatent" in remark for remark in report.remarks)


@pytest.mark.parametrize(("author", "taps"), [(applications, 83), (bare, 29)])
def test_the_port_of_another_authors_classifier_passes_with_every_tap(author: Callable[[Path], Path], taps: int, tmp_path: Path) -> None:
    convert(author(tmp_path), tmp_path / "converted")
    record([tmp_path], tmp_path / "recording", samples=4)
    report = verify(tmp_path / "converted", tmp_path / "recording")
    assert report.verdict == "pass", [(fault.layer, fault.cause) for fault in report.faults]
    assert report.matched == report.taps == taps
    assert max(layer.alone or 0.0 for layer in report.layers) < 1e-9
