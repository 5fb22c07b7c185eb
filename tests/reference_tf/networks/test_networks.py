"""What stands round the convolutions, against numpy in float64 with the variables taken by name (RELEASE_FORMAT, "Arithmetic")."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.types import Array
from stylexport.reference_tf.networks import build, forward
from stylexport.reference_tf.networks.variables import assign, draw
from stylexport.torch_models.config import NetworkConfig
from tests.reference_tf.sizes import DISCRIMINATOR, ENCODER, GENERATOR

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(41)


def load(config: NetworkConfig) -> tuple[Any, dict[str, Array]]:
    """A float64 network and its variables."""
    network = build.build(config, "float64")
    variables = {name: value.astype(np.float64) for name, value in draw(config, network, 42).items()}
    assign(network, variables)
    return network, variables


def lrelu(x: Array) -> Array:
    return np.where(x < 0, 0.2 * x, x) * np.sqrt(2)


@pytest.fixture(scope="module")
def generator() -> tuple[Any, dict[str, Array]]:
    return load(GENERATOR)


def test_the_mapping_normalises_z_and_multiplies_weights_and_biases_by_the_learning_rate_multiplier(
    generator: tuple[Any, dict[str, Array]],
) -> None:
    network, v = generator
    z = RNG.standard_normal((3, 6))
    x = z / np.sqrt(np.mean(z**2, axis=1, keepdims=True) + 1e-8)
    for i in range(3):
        weight = v[f"generator/generator_mapping/Dense{i}/MappingDense_{i}"]
        bias = v[f"generator/generator_mapping/DenseBiasAct{i}/MappingBias_{i}"]
        x = lrelu(x @ weight * 0.01 / np.sqrt(len(weight)) + 0.01 * bias)
    np.testing.assert_allclose(forward.mapping(network, z), x, rtol=1e-12)


def test_a_style_is_dense_plus_bias_plus_one(generator: tuple[Any, dict[str, Array]]) -> None:
    network, v = generator
    dlatent = RNG.standard_normal((3, 6))
    conv, rgb = forward.styles(network, dlatent)
    for found, name in ((conv[3], "StyleVector1_0"), (conv[4], "StyleVector1_1"), (rgb[1], "StyleVectorRGB0")):
        path = f"generator_style_calculator/{name}"
        expected = dlatent @ v[f"{path}/StyleGAN2Dense/weight"] / np.sqrt(6) + v[f"{path}/FusedBiasActivation/bias"] + 1
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_layer_adds_noise_and_then_bias_before_the_activation_and_its_gain(generator: tuple[Any, dict[str, Array]]) -> None:
    network, v = generator
    layer = network.g_synthesis.blocks[0].conv1
    x, style = RNG.standard_normal((2, 5, 8, 8)), RNG.standard_normal((2, 5))
    path = "generator_synthesis/GeneratorBlock8x8/Conv1"
    noisy = layer.conv((tf.constant(x), tf.constant(style))).numpy() + v["Noise2"] * v[f"{path}/NoiseStrength"]
    expected = lrelu(noisy + v[f"{path}/FusedBiasAct/BiasAct"][:, None, None])
    np.testing.assert_allclose(layer((tf.constant(x), tf.constant(style))), expected, rtol=1e-12)


def test_to_rgb_is_not_demodulated_and_not_activated(generator: tuple[Any, dict[str, Array]]) -> None:
    network, v = generator
    x, style = RNG.standard_normal((2, 5, 8, 8)), RNG.standard_normal((2, 5))
    path = "generator_synthesis/ToRGB8x8"
    kernel = v[f"{path}/ModulatedConv2D/weight"][0, 0] / np.sqrt(5)
    expected = np.einsum("nchw,nc,co->nohw", x, style, kernel)
    expected += v[f"{path}/FusedBiasActivation/ToRGBBiasAct"][:, None, None]
    np.testing.assert_allclose(network.g_synthesis.to_rgb[1]((tf.constant(x), tf.constant(style))), expected, rtol=1e-11)


def test_a_residual_block_scales_the_sum_by_one_over_the_root_of_two() -> None:
    network, v = load(ENCODER)
    block = network.trunk[1]
    x = tf.constant(RNG.standard_normal((2, 3, 16, 16)))
    bias = v["encoder/EncoderBlock16x16/Conv0Bias/BiasAct0"][:, None, None]
    inner = block.conv1_down(tf.constant(lrelu(block.conv0(x).numpy() + bias))).numpy()
    inner = lrelu(inner + v["encoder/EncoderBlock16x16/Conv1DownBiasAct/BiasAct1"][:, None, None])
    np.testing.assert_allclose(block(x), (inner + block.skip(x).numpy()) / np.sqrt(2), rtol=1e-12)


def test_the_dense_layer_sees_channels_before_rows_and_columns_and_the_last_one_is_linear() -> None:
    network, v = load(ENCODER)
    x = RNG.standard_normal((2, 7, 4, 4))
    hidden = lrelu(network.head.conv(tf.constant(x)).numpy() + v["encoder/EncoderConvBiasAct4x4/ConvBiasAct4x4"][:, None, None])
    hidden = hidden.reshape(2, 112) @ v["encoder/EncoderDense4x4/weight"] / np.sqrt(112)
    hidden = lrelu(hidden + v["encoder/EncoderDenseBiasAct4x4/DenseBiasAct4x4"])
    w = hidden @ v["encoder/style_gan2_dense/weight"] / 3 + v["encoder/EncoderOutputBiasAct/OutputBiasAct"]
    np.testing.assert_allclose(network.head(tf.constant(x)), w, rtol=1e-11)


def test_the_score_weighs_one_output_a_label_by_the_label_probabilities() -> None:
    network, _ = load(DISCRIMINATOR)
    images = RNG.standard_normal((4, 3, 16, 16))
    each = [forward.score(network, images, np.tile(row, (4, 1))) for row in np.eye(2)]
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.7, 0.3]])
    expected = np.sum(np.concatenate(each, axis=1) * probabilities, axis=1, keepdims=True)
    np.testing.assert_allclose(forward.score(network, images, probabilities), expected, rtol=1e-12)
    assert not np.allclose(each[0], each[1])
