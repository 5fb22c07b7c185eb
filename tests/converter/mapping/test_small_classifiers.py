"""What makes a classifier a function other than the paper's is read from its graph, or from Keras's configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import pytest
import tf_keras
from tf_keras import layers as L

from tests.converter.mapping.agreement import ROUNDING, Original, Port, images, port
from tests.converter.mapping.chains import depthwise, head, norm, original, pointwise, relu6, saved, stem, trunk
from tests.converter.mapping.weights import randomise

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")]

TOLD_BY = ("graph", "Keras's configuration")


@pytest.fixture(params=TOLD_BY)
def told_by(request: pytest.FixtureRequest) -> str:
    """What the file tells the architecture by."""
    return str(request.param)


@pytest.fixture
def ported(told_by: str, tmp_path: Path) -> Callable[[Original], Port]:
    """A conversion that computes what its original does, from the file that `told_by` names."""

    def convert(made: Original) -> Port:
        found = port(made.files[told_by], tmp_path / "out", made.images)
        assert found.source("layers") == told_by
        assert found.config.output == made.output
        assert found.error(made) < ROUNDING
        return found

    return convert


Ported = Callable[[Original], Port]


def test_relu_is_not_relu6(ported: Ported, tmp_path: Path) -> None:
    layers = [stem(), norm(), L.ReLU(), depthwise(), norm(), relu6(), pointwise(), norm(), L.ReLU()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.activation for layer in found.config.layers] == ["relu", "relu6", "relu"]


def test_each_epsilon_is_its_own(ported: Ported, tmp_path: Path) -> None:
    layers = [stem(), norm(epsilon=1e-5), relu6(), depthwise(), norm(epsilon=1e-3), relu6(), pointwise(), norm(epsilon=0.25), relu6()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.epsilon for layer in found.config.layers] == pytest.approx([1e-5, 1e-3, 0.25], rel=1e-6)


@pytest.mark.parametrize("sides", [((0, 1), (0, 1)), ((2, 0), (1, 3))])
def test_explicit_padding_before_a_valid_convolution(sides: Any, ported: Ported, tmp_path: Path) -> None:
    pads = [L.ZeroPadding2D(sides), stem(padding="valid"), norm(), relu6(), L.ZeroPadding2D(sides), depthwise(padding="valid")]
    found = ported(original([*pads, norm(), relu6(), pointwise(), norm(), relu6(), *head()], tmp_path))
    (top, bottom), (left, right) = sides
    assert [layer.padding for layer in found.config.layers[:2]] == [(top, bottom, left, right)] * 2


def test_padding_twice_is_the_sum(ported: Ported, tmp_path: Path) -> None:
    pads = [L.ZeroPadding2D(((0, 1), (2, 0))), L.ZeroPadding2D(((3, 0), (1, 0))), stem(padding="valid")]
    found = ported(original([*pads, *trunk()[1:], *head()], tmp_path))
    assert found.config.layers[0].padding == (3, 1, 3, 0)


def test_valid_convolutions_are_not_padded(ported: Ported, tmp_path: Path) -> None:
    layers = [stem(padding="valid"), norm(), relu6(), depthwise(padding="valid"), norm(), relu6(), pointwise(), norm(), relu6()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.padding for layer in found.config.layers[:2]] == ["valid", "valid"]


@pytest.mark.parametrize("size", [(15, 15, 3), (17, 10, 3), (9, 14, 1), (7, 5, 4)])
def test_any_size_and_channels_of_the_input(size: Sequence[int], ported: Ported, tmp_path: Path) -> None:
    found = ported(original([*trunk(), *head()], tmp_path, size=size))
    assert (found.config.resolution, found.config.image_channels) == (size[0], size[2])


def test_strides_and_kernels_are_not_the_papers(ported: Ported, tmp_path: Path) -> None:
    layers = [L.Conv2D(5, (5, 3), strides=(1, 2), padding="same", use_bias=False), norm(), relu6()]
    layers += [depthwise(strides=1), norm(), relu6(), pointwise(strides=2), norm(), relu6()]
    layers += [L.DepthwiseConv2D((3, 2), padding="same"), norm(), relu6(), L.Conv2D(4, 3), norm(), relu6()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.stride for layer in found.config.layers] == [(1, 2), (1, 1), (2, 2), (1, 1), (1, 1)]
    assert [layer.kernel for layer in found.config.layers] == [(5, 3), (3, 3), (1, 1), (3, 2), (3, 3)]


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_dilated_convolutions(padding: str, ported: Ported, tmp_path: Path) -> None:
    layers = [stem(strides=1, dilation_rate=(2, 3), padding=padding), norm(), relu6()]
    layers += [depthwise(strides=1, dilation_rate=3, padding=padding), norm(), relu6(), pointwise(), norm(), relu6()]
    found = ported(original([*layers, *head()], tmp_path, size=(17, 18, 3)))
    assert [layer.dilation for layer in found.config.layers] == [(2, 3), (3, 3), (1, 1)]


def test_a_depthwise_layer_may_multiply_its_channels(ported: Ported, tmp_path: Path) -> None:
    layers = [stem(3), norm(), relu6(), depthwise(depth_multiplier=2), norm(), relu6(), pointwise(7), norm(), relu6()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.out for layer in found.config.layers] == [3, 6, 7]


@pytest.mark.parametrize(("labels", "output"), [(1, "sigmoid"), (2, "linear"), (7, "softmax")])
def test_any_count_of_labels_and_what_stands_behind_the_logits(labels: int, output: str, ported: Ported, tmp_path: Path) -> None:
    found = ported(original([*trunk(), *head(labels)], tmp_path, output=output))
    assert found.config.labels == labels


def test_normalisation_without_scale_or_center(told_by: str, ported: Ported, tmp_path: Path) -> None:
    layers = [stem(), norm(scale=False), relu6(), depthwise(), norm(center=False), relu6(), pointwise()]
    found = ported(original([*layers, norm(scale=False, center=False), relu6(), *head()], tmp_path))
    # A frozen graph holds the missing ones as constants like any weight.
    expected = [(True, True)] * 3 if told_by == "graph" else [(False, True), (True, False), (False, False)]
    assert [(layer.scale, layer.center) for layer in found.config.layers] == expected


def test_a_bias_instead_of_a_normalisation(ported: Ported, tmp_path: Path) -> None:
    layers = [stem(use_bias=True), relu6(), depthwise(use_bias=True, activation="relu"), L.Conv2D(6, 1), norm(), relu6()]
    found = ported(original([*layers, *head(use_bias=False)], tmp_path))
    assert [(layer.bias, layer.epsilon is None) for layer in found.config.layers] == [(True, True), (True, True), (True, False)]
    assert not found.config.head_bias


def test_a_leaky_relu_keeps_its_slope(ported: Ported, tmp_path: Path) -> None:
    layers = [stem(), norm(), L.LeakyReLU(0.1), depthwise(), norm(), L.ReLU(negative_slope=0.25), pointwise(), norm(), L.LeakyReLU()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.activation for layer in found.config.layers] == ["leaky_relu"] * 3
    assert [layer.slope for layer in found.config.layers] == pytest.approx([0.1, 0.25, 0.3], rel=1e-6)


@pytest.mark.parametrize("name", ["elu", "selu", "softplus", "tanh", "sigmoid", "swish", "leaky_relu"])
def test_other_activations(name: str, ported: Ported, tmp_path: Path) -> None:
    layers = [stem(), norm(), L.Activation(name), depthwise(use_bias=True, activation=name), pointwise(), norm(), relu6()]
    found = ported(original([*layers, *head()], tmp_path))
    assert [layer.activation for layer in found.config.layers] == [name, name, "relu6"]


def test_activations_by_keras_3s_words(tmp_path: Path) -> None:
    K = keras.layers
    layers = [K.Conv2D(5, 3, 2, activation="hard_silu"), K.DepthwiseConv2D(3, activation="silu"), K.Conv2D(6, 1, activation="gelu")]
    layers += [K.DepthwiseConv2D(3), K.LeakyReLU(0.125), K.Conv2D(4, 1), K.ReLU(negative_slope=0.25)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers, K.GlobalAveragePooling2D(), K.Dense(2)])
    randomise(model.weights)
    model.save(tmp_path / "model.keras")
    given = images((16, 16, 3))
    found = port(tmp_path / "model.keras", tmp_path / "out", given)
    assert found.error(Original({}, given, model(given).numpy())) < ROUNDING
    assert [layer.activation for layer in found.config.layers] == ["hard_swish", "swish", "gelu", "leaky_relu", "leaky_relu"]


def test_a_dense_head(ported: Ported, tmp_path: Path) -> None:
    found = ported(original([*trunk(), L.GlobalAveragePooling2D(), L.Dropout(0.4), L.Dense(3)], tmp_path))
    assert found.config.labels == 3


def test_a_dense_head_with_its_own_softmax(ported: Ported, tmp_path: Path) -> None:
    dense = L.Dense(3, activation="softmax")
    given = tf_keras.Input((16, 16, 3))
    x = given
    for layer in [*trunk(), L.GlobalAveragePooling2D()]:
        x = layer(x)
    model = tf_keras.Model(given, dense(x))
    features = tf_keras.Model(given, x)
    made = saved(model, tmp_path, lambda images: features(images) @ dense.kernel + dense.bias, output="softmax")
    assert ported(made).config.output == "softmax"


@pytest.mark.parametrize("size", [(16, 16, 3), (13, 14, 3)])
def test_a_pooling_window_that_covers_the_map(size: Sequence[int], ported: Ported, tmp_path: Path) -> None:
    layers = [*trunk(), L.AveragePooling2D(4), L.Conv2D(2, 1), L.Flatten()]
    ported(original(layers, tmp_path, size=size))


def test_what_is_done_to_the_input_first(ported: Ported, tmp_path: Path) -> None:
    first = [L.Rescaling(0.25, offset=-0.5), L.Rescaling(3, offset=1), L.ZeroPadding2D(1)]  # whole numbers are cast in the graph
    found = ported(original([*first, stem(padding="valid"), *trunk()[1:], *head()], tmp_path))
    assert (found.config.image_scale, found.config.image_shift) == pytest.approx((0.75, -0.5))


def test_an_inverted_image(tmp_path: Path) -> None:
    given = tf_keras.Input((16, 16, 3))
    x = 1.0 - given
    for layer in [*trunk(), *head()]:
        x = layer(x)
    made = saved(tf_keras.Model(given, x), tmp_path)
    found = port(made.files["graph"], tmp_path / "out", made.images)
    assert (found.config.image_scale, found.config.image_shift) == (-1.0, 1.0)
    assert found.error(made) < ROUNDING


def test_models_inside_models(ported: Ported, tmp_path: Path) -> None:
    inner = tf_keras.Sequential([tf_keras.Sequential(trunk()[:3]), *trunk()[3:]])
    ported(saved(tf_keras.Sequential([tf_keras.Input((16, 16, 3)), inner, *head(3)]), tmp_path))
