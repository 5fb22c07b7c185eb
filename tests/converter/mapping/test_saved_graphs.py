"""SavedModels that no Keras layer wrote, or that cannot run here: variables are told by what the graph does with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as L

from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.graph import protos
from stylexport.converter.output.convert import convert
from stylexport.converter.output.safetensors_file import read
from stylexport.torch_models.config import MobileNetV1Config
from tests.converter.mapping.agreement import ROUNDING, Original, images, port
from tests.converter.mapping.weights import randomise

pytestmark = pytest.mark.tensorflow

SIZE = (16, 16, 3)


class Plain(tf.Module):
    """A stem, two pairs and a head in plain operations; every variable of a kind bears the same name."""

    def __init__(self, normalise: Callable[..., Any], parts: Sequence[str] = ("gamma", "beta"), padding: Any = "SAME") -> None:
        super().__init__()
        self.normalise, self.padding = normalise, padding
        self.kernels = [self._variable("kernel", 3, 3, 3, 4), self._variable("kernel", 1, 1, 4, 4), self._variable("kernel", 1, 1, 4, 4)]
        self.depthwise = [self._variable("depthwise_weights", 3, 3, 4, 1) for _ in range(2)]
        self.norms = [{part: self._variable(part, 4) for part in (*parts, "moving_mean", "moving_variance")} for _ in range(5)]
        self.head = self._variable("kernel", 4, 3)
        self.offset = self._variable("bias", 3)
        randomise(self.variables)

    def _variable(self, name: str, *shape: int) -> Any:
        return tf.Variable(tf.zeros(shape), name=name)

    @tf.function(input_signature=[tf.TensorSpec([None, *SIZE])])
    def classify(self, x: Any) -> Any:
        """Images [N, 16, 16, 3] to logits [N, 3]."""
        x = tf.nn.relu6(self.normalise(tf.nn.conv2d(x, self.kernels[0], 2, self.padding), **self.norms[0]))
        for i in range(2):
            x = tf.nn.depthwise_conv2d(x, self.depthwise[i], [1, 1, 1, 1], "SAME")
            x = tf.nn.relu6(self.normalise(x, **self.norms[2 * i + 1]))
            x = tf.nn.conv2d(x, self.kernels[i + 1], 1, "VALID")
            x = tf.nn.relu6(self.normalise(x, **self.norms[2 * i + 2]))
        return tf.reduce_mean(x, [1, 2]) @ self.head + self.offset


def fused(x: Any, gamma: Any, beta: Any, moving_mean: Any, moving_variance: Any) -> Any:
    """In one operation."""
    return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, moving_mean, moving_variance, epsilon=3e-3, is_training=False)[0]


def unfused(x: Any, moving_mean: Any, moving_variance: Any, gamma: Any = None, beta: Any = None) -> Any:
    """In elementwise operations."""
    return tf.nn.batch_normalization(x, moving_mean, moving_variance, beta, gamma, 3e-3)


def save(module: Plain, folder: Path, **options: Any) -> Original:
    tf.saved_model.save(module, str(folder), **options)
    given = images(SIZE)
    return Original({"savedmodel": folder}, given, module.classify(given).numpy())


@pytest.mark.parametrize("parts", [("gamma", "beta"), ("gamma",), ("beta",), ()])
def test_an_unfused_normalisation_in_a_plain_module(parts: tuple[str, ...], tmp_path: Path) -> None:
    made = save(Plain(unfused, parts), tmp_path / "model")
    found = port(tmp_path / "model", tmp_path / "out", made.images)
    assert found.error(made) < ROUNDING
    for layer in found.config.layers:
        assert layer.epsilon == pytest.approx(3e-3, rel=1e-6)
        assert (layer.scale, layer.center) == ("gamma" in parts, "beta" in parts)


def test_padding_written_into_the_convolution(tmp_path: Path) -> None:
    made = save(Plain(fused, padding=((0, 0), (0, 1), (2, 3), (0, 0))), tmp_path / "model")
    found = port(tmp_path / "model", tmp_path / "out", made.images)
    assert found.config.layers[0].padding == (0, 1, 2, 3)
    assert found.error(made) < ROUNDING


def test_variables_of_one_name_are_told_apart_by_the_graph(tmp_path: Path) -> None:
    made = save(Plain(fused), tmp_path / "model")
    artefact = open_artefact(tmp_path / "model")
    twins = [v for v in artefact.variables if v.name == "depthwise_weights"]
    assert len({v.key for v in twins}) == 2
    found = port(tmp_path / "model", tmp_path / "out", made.images)
    assert found.error(made) < ROUNDING
    keys = {row.tensor: row.key.split("/.")[0] for row in found.ledger.tensors if row.variable == "depthwise_weights"}
    assert keys == {"b1.depthwise.conv.weight": "depthwise/0", "b2.depthwise.conv.weight": "depthwise/1"}


def test_member_functions_alone_tell_the_network(tmp_path: Path) -> None:
    made = save(Plain(fused), tmp_path / "model")
    without_signatures(tmp_path / "model")
    artefact = open_artefact(tmp_path / "model")
    assert not artefact.meta_graph.signature_def
    assert port(tmp_path / "model", tmp_path / "out", made.images).error(made) < ROUNDING


def without_signatures(folder: Path) -> None:
    """Take a SavedModel's signatures out."""
    model = protos.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for meta_graph in model.meta_graphs:
        meta_graph.signature_def.clear()
        del meta_graph.graph_def.node[:]
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def test_a_channels_first_graph_is_the_same_network(tmp_path: Path) -> None:
    folders = {order: tmp_path / order for order in ("channels_last", "channels_first")}
    for order, folder in folders.items():
        model = in_order(order)
        randomise(model.weights)
        model.save(folder / "model", save_format="tf")
        (folder / "model" / "keras_metadata.pb").unlink()  # the graph alone is to tell
        ledger = convert(folder / "model", folder / "out").ledgers["classifier"]
        assert {fact["from"] for fact in ledger.config if fact["field"] == "layers"} == {"graph"}
    last, first = ((folder / "out" / "classifier" / "config.json").read_text() for folder in folders.values())
    assert last == first
    config = MobileNetV1Config.from_json(json.loads(first))
    assert [layer.padding for layer in config.layers] == [(0, 1, 2, 0), "same", "valid"]
    assert [(layer.stride, layer.bias, layer.scale) for layer in config.layers] == [
        ((2, 1), False, True),
        ((2, 2), True, True),
        ((1, 1), False, False),
    ]
    assert (config.resolution, config.image_channels) == (20, 3)
    last, first = (read(folder / "out" / "classifier" / "model.safetensors") for folder in folders.values())
    assert last.keys() == first.keys()
    for name, tensor in last.items():
        np.testing.assert_array_equal(tensor, first[name], err_msg=name)


def in_order(order: str) -> Any:
    """A classifier with a channel order, with biases and explicit padding as well: all that NCHW writes otherwise."""
    axis = 3 if order == "channels_last" else 1
    layers = [
        L.ZeroPadding2D(((0, 1), (2, 0)), data_format=order),
        L.Conv2D(5, 3, strides=(2, 1), use_bias=False, data_format=order),
        L.BatchNormalization(axis, epsilon=2e-3),
        L.ReLU(6.0),
        L.DepthwiseConv2D(3, strides=2, padding="same", data_format=order),
        L.ReLU(),
        L.Conv2D(6, 1, use_bias=False, data_format=order),
        L.BatchNormalization(axis, scale=False),
        L.ReLU(6.0),
        L.GlobalAveragePooling2D(order, keepdims=True),
        L.Conv2D(2, 1, data_format=order),
        L.Flatten(),
    ]
    given = tf_keras.Input((20, 18, 3) if order == "channels_last" else (3, 20, 18))
    x = given
    for layer in layers:
        x = layer(x)
    return tf_keras.Model(given, x)
