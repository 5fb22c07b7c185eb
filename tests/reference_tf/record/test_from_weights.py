"""A file of NVIDIA's without a graph is recorded by a reference that is filled by the file's names, and a wrong port is a fault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stylexport.converter.output.convert import convert
from stylexport.converter.output.recording import Recording
from stylexport.converter.output.safetensors_file import read
from stylexport.loading import load
from stylexport.parity import verify
from stylexport.reference_tf.record import record
from stylexport.reference_tf.release.export import export_folder
from tests.nvidia_pickles import tensorflow_pickle, tf_discriminator, tf_generator, torch_discriminator, torch_generator, torch_pickle

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Recording]]:
    """A pickle of TensorFlow's with classes, and one of PyTorch's that clamps and has classes: converted and recorded."""
    folder = tmp_path_factory.mktemp("nvidia")
    joint = tf_generator(8, classes=3, depth=2)
    tensorflow_pickle(folder / "tf.pkl", joint, tf_discriminator(8, outputs=3), label_size=3, mapping_lrmul=0.01)
    separate = torch_generator(tf_generator(8, classes=3, depth=2, joint=False))
    torch_pickle(folder / "torch.pkl", separate, torch_discriminator(tf_discriminator(8)), clamp=0.7, group=None)
    found = {}
    for name in ("tf", "torch"):
        convert(folder / f"{name}.pkl", folder / name)
        found[name] = folder / name, record(folder / f"{name}.pkl", folder / f"{name}.recording", samples=3)
    return found


@pytest.mark.parametrize("name", ["tf", "torch"])
def test_the_port_is_the_same_function_as_the_reference_of_the_files_weights(
    recorded: dict[str, tuple[Path, Recording]], name: str
) -> None:
    folder, recording = recorded[name]
    report = verify(folder, recording.path)
    assert (report.verdict, report.exit_code) == ("pass", 0)
    assert sorted(recording.networks) == ["discriminator", "generator"]
    assert {"z", "classes", "dlatent"} == set(recording.networks["generator"].inputs)
    for network in recording.networks.values():
        assert any("holds no graph" in remark for remark in network.remarks)
        assert network.source["file"] == f"{name}.pkl"
        assert {tap.layer for tap in network.taps if tap.declared} > {"b8"} or network.network == "generator"
    assert "synthesis.b8" in {tap.layer for tap in recording.networks["generator"].taps}


def test_what_is_exported_is_read_back_with_its_constants(recorded: dict[str, tuple[Path, Recording]], tmp_path: Path) -> None:
    folder, _ = recorded["torch"]
    export_folder(folder, tmp_path / "back")
    convert(tmp_path / "back", tmp_path / "again")
    for role in ("generator", "discriminator"):
        before, after = (json.loads((place / role / "config.json").read_text()) for place in (folder, tmp_path / "again"))
        assert before.pop("architecture") == after.pop("architecture")
        numbers = {name: value for name, value in before.items() if isinstance(value, float)}
        assert {name: after.pop(name) for name in numbers} == pytest.approx(numbers, rel=1e-6)
        assert {name: value for name, value in before.items() if name not in numbers} == after
        tensors, again = (read(place / role / "model.safetensors") for place in (folder, tmp_path / "again"))
        assert all(np.array_equal(tensors[name], again[name]) for name in tensors)


def test_a_kernel_that_is_not_flipped_and_a_bias_without_its_one_are_faults(
    recorded: dict[str, tuple[Path, Recording]], tmp_path: Path
) -> None:
    folder, recording = recorded["torch"]
    stylex = load(folder)
    with torch.no_grad():
        stylex.generator.synthesis.b8.conv0.weight.copy_(stylex.generator.synthesis.b8.conv0.weight.flip((2, 3)))
        stylex.generator.style_vectors.b8.torgb.bias.sub_(1)
    stylex.save_pretrained(tmp_path)
    report = verify(tmp_path, recording.path)
    assert report.exit_code == 1
    assert {fault.layer for fault in report.faults} == {"synthesis.b8.conv0", "style_vectors.b8.torgb"}
    assert np.isfinite(report.faults[0].error)
