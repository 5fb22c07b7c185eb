"""The way back: a converted folder becomes SavedModels that Keras opens, and they convert to the same bytes again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from stylexport.common.errors import BadInput, DamagedFile, MappingError
from stylexport.converter.output.convert import convert
from stylexport.converter.output.safetensors_file import Writer, read
from stylexport.reference_tf.networks import forward
from stylexport.reference_tf.networks.variables import load_variables
from stylexport.reference_tf.release.export import export_folder
from tests.conftest import run as command

pytestmark = pytest.mark.tensorflow
NETWORKS = ("classifier", "discriminator", "encoder", "generator")


@pytest.fixture(scope="module")
def exported(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted embedded release as SavedModels again, with the graph that a CPU runs."""
    out = tmp_path_factory.mktemp("export") / "back"
    export_folder(converted, out, "NHWC")
    return out


def test_the_round_trip_gives_the_same_bytes(converted: Path, exported: Path, tmp_path: Path) -> None:
    convert(exported, tmp_path / "again")
    for network in NETWORKS:
        for file in ("model.safetensors", "config.json"):
            assert (tmp_path / "again" / network / file).read_bytes() == (converted / network / file).read_bytes(), network


def test_the_released_variables_come_back_bit_for_bit(demo: Path, exported: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(demo / "generator.savedmodel.zip", tmp_path)
    released, ours = (load_variables(folder / "generator.savedmodel") for folder in (tmp_path, exported))
    assert set(released) == set(ours)
    for name, value in released.items():
        assert ours[name].shape == value.shape, name
        assert ours[name].tobytes() == value.tobytes(), name


def test_keras_opens_it_and_the_notebooks_calls_work(converted: Path, exported: Path) -> None:
    generator = tf_keras.models.load_model(exported / "generator.savedmodel")
    dlatent = np.random.default_rng(4).normal(size=(2, 34)).astype(np.float32)
    conv, rgb = forward.styles(generator, dlatent)
    assert forward.image(generator, conv, rgb).shape == (2, 3, 32, 32)
    bias = generator.style_vector_calculator.style_dense_blocks[1].dense_bias.weights[0]
    tensors = read(converted / "generator" / "model.safetensors")
    np.testing.assert_array_equal(bias.numpy(), tensors["style_vectors.b8.conv0.bias"][None])


def only_the_encoder(converted: Path, folder: Path) -> Path:
    """A copy of the converted release that lists one network: no other is built before the broken one is met."""
    shutil.copytree(converted, folder)
    index = json.loads((folder / "stylex.json").read_text())
    index["networks"] = {"encoder": index["networks"]["encoder"]}
    (folder / "stylex.json").write_text(json.dumps(index))
    return folder


def test_a_folder_that_is_not_whole_is_refused_and_nothing_is_left(converted: Path, tmp_path: Path) -> None:
    folder = only_the_encoder(converted, tmp_path / "broken")
    tensors = dict(read(folder / "encoder" / "model.safetensors"))
    dropped = tensors.pop("b4.fc.bias")
    specs = {name: ("float32", array.shape) for name, array in tensors.items()}
    with Writer(tmp_path / "less", specs) as file:
        for name, array in tensors.items():
            file.write(name, [np.ascontiguousarray(array)])
    del tensors, dropped
    shutil.move(tmp_path / "less", folder / "encoder" / "model.safetensors")
    with pytest.raises(MappingError, match=r"lacks b4\.fc\.bias"):
        export_folder(folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken"]


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"network": "encoder"}',
        '{"network": "painter"}',
        '{"network": "encoder", "resolution": 33, "channels": [1]}',
        '{"network": "encoder", "resolution": 8, "channels": [4, NaN]}',
        '{"network": "encoder", "resolution": 8, "channels": [4, 0]}',
        '{"network": "encoder", "resolution": 8, "channels": [4, 4], "latent": -1}',
        '{"network": "encoder", "resolution": 8, "channels": [4, 4], "gain": "x"}',
    ],
)
def test_a_broken_configuration_is_refused(converted: Path, tmp_path: Path, config: str) -> None:
    folder = only_the_encoder(converted, tmp_path / "broken")
    (folder / "encoder" / "config.json").write_text(config)
    with pytest.raises(DamagedFile, match=r"encoder.config\.json"):
        export_folder(folder, tmp_path / "out")


def test_a_truncated_tensor_file_is_refused_by_the_command(converted: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(converted, folder)
    path = folder / "classifier" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    ran = command("export-tf", folder, "-o", tmp_path / "out")
    assert ran.code == 2
    assert "classifier/model.safetensors" in ran.err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_networks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stylex.json").write_text(json.dumps({"networks": {"digits": "digits"}}))
    with pytest.raises(BadInput, match="holds none of"):
        export_folder(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("networks", [["encoder"], 3, {"encoder": 3}, {"encoder": "../converted/encoder"}, {"encoder": "/etc"}])
def test_an_index_that_leads_elsewhere_is_refused(networks: object, tmp_path: Path) -> None:
    (tmp_path / "stylex.json").write_text(json.dumps({"networks": networks}))
    with pytest.raises(DamagedFile, match=r"stylex\.json: .*(not a table of folders|is not a folder inside)"):
        export_folder(tmp_path, tmp_path / "out")


def test_what_tensorflow_cannot_write_is_one_sentence(converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "part-00000; No space left on device")

    monkeypatch.setattr("stylexport.reference_tf.release.export.save", full)
    with pytest.raises(BadInput, match=r"out: cannot be written \(.*No space left on device\); make room"):
        export_folder(converted, tmp_path / "out")
    assert not list(tmp_path.iterdir())
