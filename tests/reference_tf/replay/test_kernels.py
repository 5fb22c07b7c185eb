"""What a CPU's kernels refuse, or have in float32 alone, is put round or written out: the same function to the last digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from stylexport.reference_tf.replay.kernels import run
from tests.reference_tf.replay.saving import Method, distance, replayed, saved, values

pytestmark = pytest.mark.tensorflow

Array = NDArray[Any]
RNG = np.random.default_rng(12)
MAPS = RNG.standard_normal((2, 6, 8, 10)).astype(np.float32)  # [N, C, H, W]
VOLUME = RNG.standard_normal((2, 3, 4, 5, 6)).astype(np.float32)  # [N, C, D, H, W]
KERNEL = RNG.standard_normal((3, 2, 6, 4)).astype(np.float32)
DEPTHWISE = RNG.standard_normal((3, 2, 6, 2)).astype(np.float32)
GROUPED = RNG.standard_normal((3, 2, 3, 4)).astype(np.float32)
TRANSPOSED = RNG.standard_normal((3, 2, 4, 6)).astype(np.float32)
CUBE = RNG.standard_normal((2, 3, 2, 3, 4)).astype(np.float32)
MOMENTS = [RNG.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(4)]

FIRST, LAST = "first", "last"
FORMATS = {FIRST: {4: "NCHW", 5: "NCDHW"}, LAST: {4: "NHWC", 5: "NDHWC"}}


def axes(form: str, *per_axis: Any) -> list[Any]:
    """(N, C, ...) in the order of the form."""
    batch, channels, *space = per_axis
    return [batch, channels, *space] if form == FIRST else [batch, *space, channels]


def constant(x: Any, value: Array) -> Any:
    return tf.constant(value, x.dtype)


# Each operation in either layout, with no two axes alike.
OPERATIONS: dict[str, Callable[[Any, str, str], Any]] = {
    "convolution with strides": lambda x, form, f: tf.nn.conv2d(x, constant(x, KERNEL), axes(form, 1, 1, 2, 1), "SAME", f),
    "convolution with explicit padding": lambda x, form, f: tf.nn.conv2d(
        x, constant(x, KERNEL), 1, axes(form, [0, 0], [0, 0], [2, 0], [1, 3]), f
    ),
    "convolution with dilations": lambda x, form, f: tf.nn.conv2d(x, constant(x, KERNEL), 1, "VALID", f, axes(form, 1, 1, 2, 3)),
    "convolution in groups": lambda x, form, f: tf.nn.conv2d(x, constant(x, GROUPED), 1, "SAME", f),
    "depthwise convolution": lambda x, form, f: tf.nn.depthwise_conv2d(x, constant(x, DEPTHWISE), axes(form, 1, 1, 2, 2), "SAME", f),
    "transposed convolution": lambda x, form, f: tf.nn.conv2d_transpose(
        x, constant(x, TRANSPOSED), axes(form, 2, 4, 16, 10), axes(form, 1, 1, 2, 1), "SAME", f
    ),
    "largest of a window": lambda x, form, f: tf.nn.max_pool2d(x, axes(form, 1, 1, 2, 3), axes(form, 1, 1, 2, 1), "SAME", f),
    "mean of a window": lambda x, form, f: tf.nn.avg_pool2d(x, axes(form, 1, 1, 2, 3), axes(form, 1, 1, 2, 1), "SAME", f),
    "bias": lambda x, form, f: tf.nn.bias_add(x, constant(x, MOMENTS[0]), f),
    "space to depth": lambda x, form, f: tf.nn.space_to_depth(x, 2, f),
}
VOLUMES: dict[str, Callable[[Any, str, str], Any]] = {
    "convolution": lambda x, form, f: tf.nn.conv3d(x, constant(x, CUBE), axes(form, 1, 1, 1, 2, 1), "SAME", f),
    "largest of a window": lambda x, form, f: tf.nn.max_pool3d(x, axes(form, 1, 1, 2, 3, 1), axes(form, 1, 1, 1, 2, 3), "SAME", f),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_channels_first_is_channels_last_with_transposes_round_it(name: str, tmp_path: Path) -> None:
    operation = OPERATIONS[name]
    found, exact = replayed(tmp_path, lambda x: operation(x, FIRST, "NCHW"), MAPS)
    last = tf.constant(MAPS.transpose(0, 2, 3, 1), tf.float64)
    expected = operation(last, LAST, "NHWC").numpy().transpose(0, 3, 1, 2)
    assert distance(exact, expected) < 1e-14
    assert distance(found, expected) < 1e-6


@pytest.mark.parametrize("name", VOLUMES)
def test_the_same_in_three_dimensions(name: str, tmp_path: Path) -> None:
    operation = VOLUMES[name]
    found, exact = replayed(tmp_path, lambda x: operation(x, FIRST, "NCDHW"), VOLUME)
    last = VOLUME.transpose(0, 2, 3, 4, 1)  # TensorFlow pools volumes in float32 alone, which is exact for the largest
    kind = tf.float64 if name == "convolution" else tf.float32
    expected = operation(tf.constant(last, kind), LAST, "NDHWC").numpy().transpose(0, 4, 1, 2, 3)
    assert distance(exact, expected) < 1e-14
    assert distance(found, expected) < 1e-6


@pytest.mark.parametrize("form", [FIRST, LAST])
def test_normalisation_in_float64_is_its_definition(form: str, tmp_path: Path) -> None:
    scale, offset, mean, variance = MOMENTS
    x = MAPS if form == FIRST else MAPS.transpose(0, 2, 3, 1)

    def normalise(x: Any) -> Any:
        given = [tf.constant(value) for value in (scale, offset, mean, variance)]
        return tf.compat.v1.nn.fused_batch_norm(x, *given, epsilon=0.25, data_format=FORMATS[form][4], is_training=False)[0]

    found, exact = replayed(tmp_path, normalise, x)
    shape = [1, 6, 1, 1] if form == FIRST else [6]
    a, b, m, v = (value.astype(np.float64).reshape(shape) for value in (scale, offset, mean, variance))
    assert distance(exact, (x - m) / np.sqrt(v + 0.25) * a + b) < 1e-15
    assert distance(found, exact) < 1e-6


def test_a_batchs_own_moments_in_float64(tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    ones = tf.ones(6)
    _, exact = replayed(tmp_path, lambda x: tf.compat.v1.nn.fused_batch_norm(x, ones, ones * 2, epsilon=0.25)[0], x)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 0.25) + 2
    assert distance(exact, expected) < 1e-15


@pytest.mark.parametrize("size", [(12, 15), (5, 7), (8, 3), (1, 10)])
@pytest.mark.parametrize("options", [{}, {"align_corners": True}, {"half_pixel_centers": True}])
def test_bilinear_interpolation_in_float64(options: dict[str, bool], size: tuple[int, int], tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    found, exact = replayed(tmp_path, lambda x: tf.raw_ops.ResizeBilinear(images=x, size=size, **options), x)
    assert exact.dtype == np.float64
    assert distance(found, exact) < 1e-6


def test_interpolation_halves_exactly(tmp_path: Path) -> None:
    x = np.array([[[[1.0], [2.0]], [[4.0], [8.0]]]], np.float32)
    _, exact = replayed(tmp_path, lambda x: tf.raw_ops.ResizeBilinear(images=x, size=(3, 3), align_corners=True), x)
    np.testing.assert_array_equal(exact[0, :, :, 0], [[1, 1.5, 2], [2.5, 3.75, 5], [4, 6, 8]])


def test_local_response_normalisation_in_float64(tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    found, exact = replayed(tmp_path, lambda x: tf.nn.lrn(x, depth_radius=1, bias=0.5, alpha=0.75, beta=0.25), x)
    wide = np.pad(x.astype(np.float64) ** 2, [(0, 0)] * 3 + [(1, 1)])
    power = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    assert distance(exact, x / (0.5 + 0.75 * power) ** 0.25) < 1e-15
    assert distance(found, exact) < 1e-6


@pytest.mark.parametrize("pool", [tf.nn.max_pool3d, tf.nn.avg_pool3d])
def test_pooling_in_three_dimensions_in_float64(pool: Callable[..., Any], tmp_path: Path) -> None:
    x = VOLUME.transpose(0, 2, 3, 4, 1)
    found, exact = replayed(tmp_path, lambda x: pool(x, [1, 2, 3, 2, 1], [1, 1, 2, 3, 1], "SAME"), x)
    assert exact.dtype == np.float64
    assert distance(found, exact) < 1e-6


def test_a_transposed_convolution_in_groups_is_the_adjoint_of_the_convolution() -> None:
    given, y = (tf.constant(RNG.standard_normal(shape)) for shape in ((2, 8, 10, 6), (2, 8, 10, 4)))
    kernel = tf.constant(GROUPED, tf.float64)
    there = tf.nn.conv2d(given, kernel, 1, "SAME")
    attrs = {"T": tf.float64.as_datatype_enum, "strides": [1] * 4, "padding": b"SAME", "dilations": [1] * 4, "data_format": b"NHWC"}
    (back,) = run("Conv2DBackpropInput", [tf.constant([2, 8, 10, 6]), kernel, y], attrs)
    np.testing.assert_allclose(tf.reduce_sum(there * y), tf.reduce_sum(given * back), rtol=1e-12)


def test_a_dilated_transposed_convolution_is_the_adjoint_of_the_convolution() -> None:
    given, y = (tf.constant(RNG.standard_normal(shape)) for shape in ((2, 8, 10, 6), (2, 4, 7, 4)))
    kernel = tf.constant(KERNEL, tf.float64)
    there = tf.nn.conv2d(given, kernel, 1, "VALID", dilations=[1, 2, 3, 1])
    attrs = {"T": tf.float64.as_datatype_enum, "strides": [1] * 4, "padding": b"VALID", "dilations": [1, 2, 3, 1], "data_format": b"NHWC"}
    (back,) = run("Conv2DBackpropInput", [tf.constant([2, 8, 10, 6]), kernel, y], attrs)
    np.testing.assert_allclose(tf.reduce_sum(there * y), tf.reduce_sum(given * back), rtol=1e-12)


def test_a_dilated_depthwise_convolution(tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    options = {"strides": [1] * 4, "padding": "VALID"}

    def dilated(x: Any) -> Any:
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=tf.constant(DEPTHWISE), dilations=[1, 3, 2, 1], **options)

    _, exact = replayed(tmp_path, dilated, x)
    expected = tf.nn.depthwise_conv2d(tf.constant(x, tf.float64), tf.constant(DEPTHWISE, tf.float64), dilations=[3, 2], **options)
    assert distance(exact, expected) < 1e-14


def test_what_an_optimiser_fused_is_taken_apart() -> None:
    x, bias = tf.constant(MAPS.transpose(0, 2, 3, 1), tf.float64), tf.constant([0.5, -1.5, 2.5, -0.25], tf.float64)
    kernel = tf.constant(KERNEL, tf.float64)
    attrs = {"T": x.dtype.as_datatype_enum, "strides": [1, 2, 1, 1], "padding": b"SAME", "data_format": b"NHWC", "num_args": 1}
    (found,) = run("_FusedConv2D", [x, kernel, bias], {**attrs, "fused_ops": [b"BiasAdd", b"LeakyRelu"], "leakyrelu_alpha": 0.125})
    expected = tf.nn.conv2d(x, kernel, [1, 2, 1, 1], "SAME") + bias
    np.testing.assert_allclose(found, tf.where(expected > 0, expected, expected / 8), rtol=1e-12)


def test_per_sample_kernels_in_groups_as_stylegan2_fuses_them(tmp_path: Path) -> None:
    """Modulation of the kernel: samples become groups of one image, channels first."""
    x, styles = MAPS[:, :4, :8, :7], RNG.standard_normal((2, 4)).astype(np.float32)
    kernel = RNG.standard_normal((3, 3, 4, 5)).astype(np.float32)

    def modulated(x: Any, styles: Any) -> Any:
        each = tf.constant(kernel)[None] * styles[:, None, None, :, None]  # [N, h, w, in, out]
        joined = tf.reshape(tf.transpose(each, [1, 2, 3, 0, 4]), [3, 3, 4, 10])
        y = tf.nn.conv2d(tf.reshape(x, [1, 8, 8, 7]), joined, 1, "SAME", "NCHW")
        return tf.reshape(y, [2, 5, 8, 7])

    module = Method(modulated, [x.shape, styles.shape])
    ((found, exact),) = values(saved(module, tmp_path), "run", x, styles)
    scaled = (x.astype(np.float64) * styles[:, :, None, None]).transpose(0, 2, 3, 1)
    expected = tf.nn.conv2d(scaled, kernel.astype(np.float64), 1, "SAME").numpy().transpose(0, 3, 1, 2)
    assert distance(exact, expected) < 1e-14
    assert distance(found, exact) < 1e-6
