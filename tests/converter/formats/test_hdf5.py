"""Keras HDF5 of every age gives its variables under TensorFlow's names; a file that reaches outside itself is refused."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.keras.hdf5 import looks_like_hdf5, open_hdf5
from tests.converter.formats.damage import read_all, refusals

KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 1, 4)
BIAS = np.float32([0.5, -1, 2, 7])
MOMENT = KERNEL - 5


def put(group: h5py.Group, layers: dict[str, dict[str, np.ndarray]]) -> None:
    group.attrs["layer_names"] = [name.encode() for name in layers]
    for layer, weights in layers.items():
        one = group.create_group(layer)
        one.attrs["weight_names"] = [name.encode() for name in weights]
        for name, values in weights.items():
            one[name] = values


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A whole model as Keras 2 writes it: z before a, so that storage order is not the alphabet's."""
    path = tmp_path / "model.bin"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = np.bytes_("2.4.0")
        file.attrs["backend"] = b"tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {"name": "m"}})
        nested = {"deep/kernel:0": KERNEL[0], "deep_1/gamma:0": BIAS}
        put(file.create_group("model_weights"), {"z": {"z/kernel:0": KERNEL, "z/bias:0": BIAS}, "flat": {}, "a": nested})
        optimizer = file.create_group("optimizer_weights")
        optimizer.attrs["weight_names"] = [b"Adam/iter:0", b"Adam/z/kernel/m:0", b"training/Adam/z/kernel/v:0"]
        optimizer["Adam/iter:0"] = np.int64(41)
        optimizer["Adam/z/kernel/m:0"] = MOMENT
        optimizer["training/Adam/z/kernel/v:0"] = MOMENT * 2
    return path


def test_a_whole_model_gives_its_weights_in_the_order_of_its_layers(model: Path) -> None:
    opened = open_hdf5(model)
    assert opened.format == "keras_hdf5"
    assert opened.facts.versions == {"keras": "2.4.0"}
    assert opened.facts.keras == {"class_name": "Functional", "config": {"name": "m"}}
    own = [variable for variable in opened.variables if variable.slot is None]
    assert [variable.name for variable in own] == ["z/kernel", "z/bias", "deep/kernel", "deep_1/gamma"]
    assert [variable.key for variable in own][2] == "model_weights/a/deep/kernel:0"
    assert (own[0].shape, own[0].dtype, own[0].nbytes) == ((2, 3, 1, 4), "float32", 96)
    np.testing.assert_array_equal(opened.read(own[0]), KERNEL)
    np.testing.assert_array_equal(opened.read(own[3]), BIAS)


def test_optimiser_slots_are_told_apart(model: Path) -> None:
    slots = {variable.name: variable.slot for variable in open_hdf5(model).variables if variable.slot}
    assert slots == {"Adam/iter": "Adam/iter", "Adam/z/kernel/m": "Adam/m", "training/Adam/z/kernel/v": "Adam/v"}


def test_arrays_are_read_only_and_outlive_the_file(model: Path) -> None:
    opened = open_hdf5(model)
    values = opened.read(opened.variables[0])
    opened.close()
    np.testing.assert_array_equal(values, KERNEL)
    assert not values.flags.writeable


def test_a_file_behind_a_user_block_is_known_and_its_mapped_values_are_right(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "u.h5", "w", userblock_size=1024) as file:
        put(file, {"z": {"z/kernel:0": KERNEL}})
    assert looks_like_hdf5(tmp_path / "u.h5")
    np.testing.assert_array_equal(read_all(open_hdf5(tmp_path / "u.h5"))["z/z/kernel:0"], KERNEL)


def test_it_is_known_by_its_signature(model: Path, tmp_path: Path) -> None:
    assert looks_like_hdf5(model)
    (tmp_path / "b.h5").write_bytes(b"not HDF5" * 200)
    assert not looks_like_hdf5(tmp_path / "b.h5")
    assert not looks_like_hdf5(tmp_path / "absent.h5")


def test_name_lists_that_keras_cut_in_chunks_are_joined(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for number, layer in enumerate(("z", "b")):
            file.attrs[f"layer_names{number}"] = [layer.encode()]
            file.create_group(layer)
        for number in range(11):
            file["z"].attrs[f"weight_names{number}"] = [b"w%d:0" % number]
            file["z"][f"w{number}:0"] = BIAS + number
        file["b"].attrs["weight_names"] = [b"v:0"]
        file["b/v:0"] = KERNEL
    opened = open_hdf5(tmp_path / "w.h5")
    assert [variable.name for variable in opened.variables] == [f"w{number}" for number in range(11)] + ["v"]
    np.testing.assert_array_equal(opened.read(opened.variables[10]), BIAS + 10)


def test_chunked_compressed_big_endian_and_bfloat16_tensors_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("packed", data=KERNEL, chunks=(1, 3, 1, 4), compression="gzip", shuffle=True, fletcher32=True)
        file["big"] = KERNEL.astype(">f8")
        file["brain"] = BIAS.astype(ml_dtypes.bfloat16)
        file["brain"].attrs["dtype"] = "bfloat16"
        file["scalar"], file["none"] = np.float32(3), np.empty((0, 5), np.float32)
    opened = open_hdf5(tmp_path / "w.h5")
    assert opened.format == "hdf5"
    assert {variable.key: variable.dtype for variable in opened.variables}["brain"] == "bfloat16"
    values = read_all(opened)
    np.testing.assert_array_equal(values["packed"], KERNEL)
    np.testing.assert_array_equal(values["big"], KERNEL)
    np.testing.assert_array_equal(values["brain"].astype(np.float32), BIAS)
    assert values["scalar"] == 3
    assert values["none"].shape == (0, 5)


def test_two_bytes_without_a_type_are_bfloat16_and_a_note_says_so(tmp_path: Path) -> None:
    """As Keras 3 writes a whole model's `.h5` in bfloat16."""
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file["brain"] = BIAS.astype(ml_dtypes.bfloat16)
        file["said"] = BIAS.astype(ml_dtypes.bfloat16)
        file["said"].attrs["dtype"] = "bfloat16"
        file["other"] = np.zeros(2, np.dtype("V4"))
    opened = open_hdf5(path)
    (brain, said) = opened.variables
    assert (brain.dtype, said.dtype) == ("bfloat16", "bfloat16")
    np.testing.assert_array_equal(opened.read(brain), BIAS.astype(ml_dtypes.bfloat16))
    assert any(note.startswith("1 of its tensors have elements of two bytes without a type") for note in opened.facts.notes)
    assert any("'other'" in note for note in opened.facts.notes)


def test_datasets_that_no_list_names_are_given_too_and_text_is_left_out_with_a_note(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        put(file, {"z": {"z/kernel:0": KERNEL}})
        file["z/forgotten"], file["z/remark"] = BIAS, "text"
    opened = open_hdf5(tmp_path / "w.h5")
    assert [variable.name for variable in opened.variables] == ["z/kernel", "z/forgotten"]
    assert "2 datasets that no weight_names lists" in opened.facts.notes[0]
    assert "'z/remark' holds object, not numbers" in opened.facts.notes[1]


def test_another_backend_is_noted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        put(file, {"convolution2d_1": {"convolution2d_1_W": KERNEL}})
        file.attrs["backend"] = b"theano"
    opened = open_hdf5(tmp_path / "w.h5")
    assert "'theano'" in opened.facts.notes[0]
    assert opened.variables[0].name == "convolution2d_1_W"


def test_a_soft_link_inside_the_file_is_followed_and_a_circle_is_not(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        put(file, {"z": {"z/kernel:0": KERNEL}})
        file["z"].attrs["weight_names"] = [b"z/kernel:0", b"alias"]
        file["z/alias"] = h5py.SoftLink("z/kernel:0")
    np.testing.assert_array_equal(read_all(open_hdf5(tmp_path / "w.h5"))["z/alias"], KERNEL)
    with h5py.File(tmp_path / "w.h5", "a") as file:
        del file["z/alias"]
        file["z/alias"] = h5py.SoftLink("alias")
    with pytest.raises(HostileFile, match="circle"):
        open_hdf5(tmp_path / "w.h5")


@pytest.mark.parametrize("listed", [True, False])
def test_an_external_link_is_refused(tmp_path: Path, model: Path, listed: bool) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        put(file, {"z": {}})
        file["z/out"] = h5py.ExternalLink(str(model), "/model_weights/z/z/kernel:0")
        if listed:
            file["z"].attrs["weight_names"] = [b"out"]
    with pytest.raises(HostileFile, match="a link into another file"):
        open_hdf5(tmp_path / "w.h5")


def test_values_in_other_files_are_refused(tmp_path: Path, model: Path) -> None:
    (tmp_path / "raw").write_bytes(BIAS.tobytes())
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_dataset("w", (4,), "f4", external=[(str(tmp_path / "raw"), 0, 16)])
    layout = h5py.VirtualLayout((2, 3, 1, 4), "f4")
    layout[...] = h5py.VirtualSource(str(model), "model_weights/z/z/kernel:0", (2, 3, 1, 4))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("w", layout)
    for name in ("e.h5", "v.h5"):
        with pytest.raises(HostileFile, match="keeps its values in other files"):
            open_hdf5(tmp_path / name)


def test_a_filter_that_needs_a_plugin_is_named_with_its_remedy(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        put(file, {"z": {}})
        file["z"].attrs["weight_names"] = [b"w"]
        file.create_dataset("z/w", data=KERNEL, chunks=KERNEL.shape, compression="gzip")
    data = (tmp_path / "w.h5").read_bytes()
    at = data.index(b"deflate") - 8  # the filter's number, then the length of its name, flags and count of values
    (tmp_path / "p.h5").write_bytes(data[:at] + (32008).to_bytes(2, "little") + data[at + 2 :])
    with pytest.raises(BadInput, match="filter 32008, a plugin; rewrite it with h5repack"):
        open_hdf5(tmp_path / "p.h5")


def test_a_shape_without_bytes_behind_it_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("w", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024), compression="gzip")
    with pytest.raises(HostileFile, match="declares 4398046511104 bytes"):
        open_hdf5(tmp_path / "b.h5")
    with h5py.File(tmp_path / "n.h5", "w") as file:
        file.create_dataset("w", (7, 3), "f4")
    with pytest.raises(DamagedFile, match="declares 84 bytes and stores 0"):
        open_hdf5(tmp_path / "n.h5")


def test_a_listed_weight_that_is_not_there_is_named(model: Path) -> None:
    with h5py.File(model, "a") as file:
        del file["model_weights/z/z/bias:0"]
    with pytest.raises(DamagedFile, match="holds no 'model_weights/z/z/bias:0'"):
        open_hdf5(model)


def test_a_configuration_that_is_no_json_object_is_damage(model: Path) -> None:
    for text in ("[" * 100_000, "[1]", '{"a":'):
        with h5py.File(model, "a") as file:
            file.attrs["model_config"] = text
        with pytest.raises(DamagedFile, match="model_config"):
            open_hdf5(model)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        open_hdf5(tmp_path / "absent.h5")


def test_damage_is_answered_with_a_sentence(model: Path) -> None:
    messages = refusals(model, 240, 11, lambda path: read_all(open_hdf5(path)))
    assert len(messages) > 20  # most flips fall into padding or into values, which this format cannot check
    assert all("damaged.bin" in message for message in messages)


@pytest.mark.tensorflow
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_names_and_values_are_those_that_keras_gives(tmp_path: Path, package: str) -> None:
    keras = importlib.import_module(package)
    net = small_model(keras)
    net.save(tmp_path / "m.h5")
    opened = open_hdf5(tmp_path / "m.h5")
    expected = {getattr(w, "path", w.name).removesuffix(":0"): w.numpy() for w in net.weights}
    values = {v.name: opened.read(v) for v in opened.variables if v.slot is None}
    assert list(values) == list(expected)
    assert len([v for v in opened.variables if v.slot]) >= 2 * len(net.trainable_weights)
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value)


def small_model(keras):  # type: ignore[no-untyped-def]
    """Convolutions whose names are not in alphabetical order, a norm without scale, and nested models of both kinds, trained one step."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([layers.Dense(6, use_bias=False), layers.BatchNormalization()], name="inner")
    side = keras.Input((6,))
    functional = keras.Model(side, layers.Dense(5)(side), name="functional_part")
    x = layers.Conv2D(4, 3, name="stem")(inputs)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Conv2D(5, 3, name="a_later_one")(layers.DepthwiseConv2D(3)(x))
    x = functional(inner(layers.GlobalAveragePooling2D()(x)))
    net = keras.Model(inputs, layers.Dense(2, name="out")(layers.Dropout(0.5)(x)))
    net.compile("adam", "mse")
    net.fit(np.random.default_rng(3).normal(size=(4, 8, 8, 3)), np.ones((4, 2)), verbose=0)
    return net
