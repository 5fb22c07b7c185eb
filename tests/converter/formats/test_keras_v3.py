"""A `.keras` archive gives its variables the names that Keras gives them, though the file holds only numbers."""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.keras.hdf5 import open_hdf5
from stylexport.converter.formats.keras.keras_v3 import looks_like_keras_v3, open_keras_v3
from tests.converter.formats.damage import read_all, refusals
from tests.converter.formats.test_hdf5 import small_model


def layer(kind: str, name: str, **config: object) -> dict[str, object]:
    return {"class_name": kind, "module": "keras.layers", "config": {"name": name, **config}}


CONFIG = {
    "class_name": "Functional",
    "config": {
        "name": "classifier",
        "layers": [
            layer("InputLayer", "in"),
            layer("Conv2D", "stem", use_bias=False),
            {"class_name": "Add", "module": "keras.src.ops.numpy", "config": {"name": "add"}},
            layer("BatchNormalization", "bn", scale=False, center=True),
            layer("Conv2D", "a_conv", use_bias=True),
            layer("DepthwiseConv2D", "dw", use_bias=False),
            layer("Sequential", "tail", layers=[layer("Dense", "d", use_bias=True)]),
        ],
    },
}
WEIGHTS = {
    "layers/conv2d/vars/0": np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2),
    "layers/batch_normalization/vars/0": np.float32([1, 2]),
    "layers/batch_normalization/vars/1": np.float32([3, 4]),
    "layers/batch_normalization/vars/2": np.float32([5, 6]),
    "layers/conv2d_1/vars/0": np.float32([[[[7, 8]]]]),
    "layers/conv2d_1/vars/1": np.float32([9, 10]),
    "layers/depthwise_conv2d/vars/0": np.float32([[[[11], [12]]]]),
    "layers/sequential/layers/dense/vars/0": np.float32([[13, 14, 15]]),
    "layers/sequential/layers/dense/vars/1": np.float32([16, 17, 18]),
    "optimizer/vars/0": np.int64(6),
    "optimizer/vars/10": np.float32([1, 9]),
}
NAMES = ["stem/kernel", "bn/beta", "bn/moving_mean", "bn/moving_variance", "a_conv/kernel", "a_conv/bias", "dw/kernel"]
NAMES += ["tail/d/kernel", "tail/d/bias"]


def weights_file(names: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, values in WEIGHTS.items():
            file[path] = values
        for group, name in (names or {}).items():
            file[group].attrs["name"] = name
    return buffer.getvalue()


def archive(path: Path, method: int = zipfile.ZIP_STORED, version: str = "3.3.3", **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("metadata.json", json.dumps({"keras_version": version}))
        file.writestr("config.json", members.get("config", json.dumps(CONFIG)))
        file.writestr("model.weights.h5", members.get("weights", weights_file()))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_numbers_become_names_in_the_order_of_the_layers(tmp_path: Path, method: int) -> None:
    path = archive(tmp_path / "m.zip", method)
    assert looks_like_keras_v3(path)
    opened = open_keras_v3(path)
    own = [variable for variable in opened.variables if variable.slot is None]
    assert [variable.name for variable in own] == NAMES
    assert [variable.key for variable in own] == list(WEIGHTS)[:-2]
    assert opened.facts.versions == {"keras": "3.3.3"}
    assert opened.facts.keras == CONFIG
    for key, values in read_all(opened).items():
        np.testing.assert_array_equal(values, WEIGHTS[key])


def test_the_optimiser_is_told_apart(tmp_path: Path) -> None:
    slots = {variable.key: variable.slot for variable in open_keras_v3(archive(tmp_path / "m.keras")).variables if variable.slot}
    assert slots == {"optimizer/vars/0": "optimizer/0", "optimizer/vars/10": "optimizer/10"}


def test_keras_2_names_depthwise_kernels_and_nested_layers_in_its_own_way(tmp_path: Path) -> None:
    names = [variable.name for variable in open_keras_v3(archive(tmp_path / "m.keras", version="2.15.0")).variables]
    assert names[6:9] == ["dw/depthwise_kernel", "d/kernel", "d/bias"]


def test_weights_alone_are_named_by_what_the_file_tells(tmp_path: Path) -> None:
    (tmp_path / "m.weights.h5").write_bytes(weights_file({"layers/conv2d/vars": "stem", "layers/sequential/layers/dense/vars": "d"}))
    opened = open_hdf5(tmp_path / "m.weights.h5")
    assert opened.format == "keras_v3_weights"
    named = {variable.key: variable.name for variable in opened.variables}
    assert named["layers/conv2d/vars/0"] == "stem/kernel"
    assert named["layers/conv2d_1/vars/1"] == "conv2d_1/bias"
    assert named["layers/sequential/layers/dense/vars/0"] == "sequential/d/kernel"
    assert named["layers/batch_normalization/vars/0"] == "batch_normalization/vars/0"  # gamma or beta: the file does not tell
    assert list(named) == list(WEIGHTS)


def test_a_zip_of_something_else_is_not_taken_for_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as file:
        file.writestr("config.json", "{}")
    assert not looks_like_keras_v3(tmp_path / "m.keras")
    with pytest.raises(BadInput, match=r"holds no model\.weights\.h5"):
        open_keras_v3(tmp_path / "m.keras")


def test_a_flipped_bit_in_a_tensor_is_found(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras")
    data = bytearray(path.read_bytes())
    data[data.index(np.float32([13, 14, 15]).tobytes())] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match="CRC-32"):
        open_keras_v3(path)


def test_weights_that_are_not_hdf5_and_configurations_that_are_not_json_are_damage(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="opened as HDF5"):
        open_keras_v3(archive(tmp_path / "a.keras", weights=b"HDF5, not"))
    with pytest.raises(DamagedFile, match=r"config\.json"):
        open_keras_v3(archive(tmp_path / "b.keras", config=b"\xff{}"))


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    messages = refusals(archive(tmp_path / "m.keras"), 200, 7, lambda path: read_all(open_keras_v3(path)))
    assert len(messages) > 190
    assert all("damaged.keras" in message for message in messages)


@pytest.mark.tensorflow
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_names_order_and_values_are_those_that_keras_gives(tmp_path: Path, package: str) -> None:
    net = small_model(importlib.import_module(package))
    net.save(tmp_path / "m.keras")
    net.save_weights(tmp_path / "m.weights.h5")
    expected = {getattr(w, "path", w.name).removesuffix(":0"): w.numpy() for w in net.weights}
    opened = open_keras_v3(tmp_path / "m.keras")
    values = {v.name: opened.read(v) for v in opened.variables if v.slot is None}
    assert list(values) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value)
    alone = [v.key for v in open_hdf5(tmp_path / "m.weights.h5").variables if v.slot is None]
    assert alone == [v.key for v in opened.variables if v.slot is None]
