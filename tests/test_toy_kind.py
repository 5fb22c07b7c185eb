"""A network is added by one file: `tests/toy_kind.py` is converted, recorded, verified, self-tested and written back like any known one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from stylexport import StylEx, convert, record, selftest, verify
from stylexport.common.errors import BadInput
from stylexport.converter.output.ledger import read_ledger
from stylexport.torch_models.kinds import KINDS, register
from tests.toy_kind import TOY, TwoConvolutions, TwoConvolutionsConfig

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    """The toy network among the known ones, as long as this file's tests run."""
    register(TOY)
    yield
    del KINDS[TOY.architecture]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of it that TensorFlow wrote, with random weights."""
    from stylexport.reference_tf.networks.saved_model import export_network

    folder = tmp_path_factory.mktemp("toy") / TOY.released_file
    export_network("classifier", TwoConvolutionsConfig(5, 3), None, folder)
    return folder


@pytest.fixture(scope="module")
def converted(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(release, tmp_path_factory.mktemp("toy") / "converted").folder


@pytest.fixture(scope="module")
def recording(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("toy") / "toy.safetensors"
    record(release, file)
    return file


def test_it_is_converted_by_its_rule_table(converted: Path) -> None:
    ledger = read_ledger(converted / "classifier" / "conversion.json")
    assert (ledger.tensors[0].tensor, ledger.tensors[0].layout) == ("first.weight", "HWIO -> OIHW")
    assert {fact["field"]: fact["from"] for fact in ledger.config}["resolution"] == "default: this test"
    assert not ledger.left_out


def test_role_and_architecture_are_two_things(converted: Path) -> None:
    config = json.loads((converted / "classifier" / "config.json").read_text())
    assert (config["network"], config["architecture"]) == ("classifier", "two_convolutions")
    stylex = StylEx.from_pretrained(converted)
    assert isinstance(stylex.classifier, TwoConvolutions)
    assert stylex.classify(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_a_saved_copy_opens_again(converted: Path, tmp_path: Path) -> None:
    stylex = StylEx.from_pretrained(converted)
    stylex.save_pretrained(tmp_path / "copy")
    image = torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)
    assert torch.equal(StylEx.from_pretrained(tmp_path / "copy").classify(image), stylex.classify(image))


def test_it_is_proved_against_its_recording(converted: Path, recording: Path) -> None:
    report = verify(converted, against=recording)
    assert report.exit_code == 0, report.unmatched
    assert {layer.name for layer in report.layers} >= {"first", "second", "output"}
    assert {gate.name for gate in report.gates} == {"inputs with another answer", "largest difference of a probability"}


def test_its_injected_faults_are_found_placed_and_named(converted: Path, recording: Path) -> None:
    found = selftest(converted, against=recording)
    assert found.passed, found.to_json()
    assert [trial.cause for trial in found.trials] == ["kernel_flipped", "kernel_transposed_hw", "bias_missing"]


def test_its_weights_go_back_to_tensorflow(release: Path, converted: Path, tmp_path: Path) -> None:
    from stylexport.reference_tf.networks.variables import load_variables
    from stylexport.reference_tf.release.export import export_folder

    written = export_folder(converted, tmp_path / "back")
    assert written == {"classifier": tmp_path / "back" / "two_convolutions.savedmodel"}
    original = load_variables(release)
    for name, value in load_variables(written["classifier"]).items():
        np.testing.assert_array_equal(value, original[name])


def test_a_process_that_does_not_know_it_says_how_to_record_it_here(converted: Path, release: Path) -> None:
    with pytest.raises(BadInput, match=r"this program alone knows two_convolutions: record here by stylexport\.record"):
        verify(converted, release=release)
