"""Networks that resemble MobileNetV1 are not taken for it, and the reason says what is different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers as L

from stylexport.common.errors import MappingError
from stylexport.converter.output.convert import convert
from tests.converter.mapping.chains import depthwise, head, norm, original, pointwise, relu6, stem, trunk
from tests.converter.mapping.freezing import freeze

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")]


@pytest.fixture(scope="module")
def mobilenet_v2(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """keras.applications.MobileNetV2 in three files."""
    folder = tmp_path_factory.mktemp("v2")
    model = tf_keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, weights=None, classes=2)
    model.save(folder / "whole.h5")
    model.save_weights(folder / "weights.h5")
    freeze(model, (32, 32, 3), folder / "frozen.pb")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("frozen.pb", r"AddV2 .*block_15_add/add joins two branches"),
        ("whole.h5", r"layer block_15_add joins block_14_add, block_15_project_BN"),
        ("weights.h5", r"without a graph only the paper's 27 layers have known strides; this one has 52"),
    ],
)
def test_mobilenet_v2(file: str, reason: str, mobilenet_v2: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=f"no classifier: {reason}"):
        convert(mobilenet_v2[file], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def plain_cnn() -> list[Any]:
    return [stem(), norm(), relu6(), pointwise(), norm(), relu6(), pointwise(7), norm(), relu6(), *head()]


@pytest.mark.parametrize("file", ["graph", "Keras's configuration"])
@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (plain_cnn, r"convolution 1 \(.*\) breaks the order depthwise, pointwise"),
        (lambda: [*trunk(), L.MaxPool2D(), *head()], "MaxPool"),
        (lambda: [*trunk(), L.GlobalAveragePooling2D(), L.Dense(4), L.Dense(2)], r"breaks the order depthwise, pointwise"),
        (lambda: [*trunk(), L.Flatten(), L.Dense(2)], "a map is reshaped before global average pooling"),
        (lambda: [L.Reshape((8, 32, 3)), *trunk(), *head()], "a map is reshaped before global average pooling"),
        (lambda: [L.Permute((2, 1, 3)), *trunk(), *head()], "permutes the map's axes|layer permute.* is a Permute"),
        (lambda: [*trunk(), L.AveragePooling2D(2), *head()], "second or misplaced Pool"),
        (lambda: [*trunk(), L.AveragePooling2D(2), L.Conv2D(2, 1), L.GlobalAveragePooling2D()], "global average pooling does not stand"),
        (lambda: [*trunk(), L.AveragePooling2D(3), L.Conv2D(2, 1), L.Flatten()], "window has 3 rows, the map 4: it is not global"),
        (lambda: [*trunk()[:-1], L.GlobalAveragePooling2D(keepdims=True), relu6(), L.Conv2D(2, 1), L.Flatten()], "misplaced Activation"),
        (
            lambda: [stem(), L.ZeroPadding2D(1), norm(), relu6(), depthwise(padding="valid"), norm(), relu6(), *trunk()[6:], *head()],
            "BatchNorm stands between explicit padding and a convolution",
        ),
        (lambda: [*trunk()[:-1], L.Softmax(), *head()], "a softmax stands before the head"),
        (lambda: [*trunk(), *head()[:-1], L.ReLU()], "its head ends in relu"),
        (lambda: [depthwise(), norm(), relu6(), pointwise(), norm(), relu6(), pointwise(3), *head()], "begins with a depthwise"),
        (lambda: [*trunk()[:-1], L.ReLU(3.0), *head()], "ReLU with max_value 3|Minimum|clip_by_value"),
    ],
)
def test_chains_of_another_form(layers: Any, reason: str, file: str, tmp_path: Path) -> None:
    made = original(layers(), tmp_path)
    with pytest.raises(MappingError, match=f"no classifier: .*({reason})"):
        convert(made.files[file], tmp_path / "out")


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (lambda x: tf.cast(tf.cast(3 * x, tf.int32), tf.float32), "rounds to whole numbers"),
        (lambda x: tf.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-1.0), "pads with something else than zeros"),
        (lambda x: x[..., ::-1], "StridedSlice"),
        (lambda x: (x - tf.constant([0.1, 0.2, 0.3])) / 0.5, "adds a computed value"),
    ],
)
def test_what_a_wrapper_does_to_the_image_is_not_left_out(first: Any, reason: str, tmp_path: Path) -> None:
    """The file also holds the functions of the network inside, which are those of a MobileNetV1."""
    given = tf_keras.Input((None, None, 3))
    x = given
    for layer in [*trunk(), *head()]:
        x = layer(x)

    class Wrapper(tf_keras.Model):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def call(self, images: Any, training: bool = False) -> Any:
            return self.inner(first(images), training=training)

    wrapper = Wrapper(tf_keras.Model(given, x))
    wrapper(np.zeros((1, 16, 16, 3), np.float32))
    wrapper.save(tmp_path / "model", save_format="tf")
    with pytest.raises(MappingError, match=f"no classifier: .*({reason})"):
        convert(tmp_path / "model", tmp_path / "out")
