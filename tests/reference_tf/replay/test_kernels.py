"""What a CPU's kernels refuse, or have in float32 alone, is run channels last or by own code: each operation's definition to rounding.

The definitions are numpy's, in float64 (definitions.py): TensorFlow's own kernels are not trusted to be right on every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.types import Array
from stylexport.reference_tf.replay.kernels import run
from tests.reference_tf.replay.definitions import (
    bilinear,
    convolution,
    depthwise_convolution,
    largest,
    mean,
    space_to_depth,
    transposed_convolution,
)
from tests.reference_tf.replay.saving import Method, distance, replayed, saved, values

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(12)
MAPS = RNG.standard_normal((2, 6, 8, 10)).astype(np.float32)  # [N, C, H, W]
VOLUME = RNG.standard_normal((2, 3, 4, 5, 6)).astype(np.float32)  # [N, C, D, H, W]
KERNEL = RNG.standard_normal((3, 2, 6, 4)).astype(np.float32)
DEPTHWISE = RNG.standard_normal((3, 2, 6, 2)).astype(np.float32)
GROUPED = RNG.standard_normal((3, 2, 3, 4)).astype(np.float32)
TRANSPOSED = RNG.standard_normal((3, 2, 4, 6)).astype(np.float32)
CUBE = RNG.standard_normal((2, 3, 2, 3, 4)).astype(np.float32)
MOMENTS = [RNG.uniform(0.5, 1.5, 6).astype(np.float32) for _ in range(4)]

# No sum here has more than 54 terms, whose errors of 2^-53 or 2^-24 each add up to at most 54 times that; the terms' absolute values sum
# to a few times what they sum to. A factor of 2^10 is the room for both.
DOUBLE, SINGLE = 2**10 * 2.0**-53, 2**10 * 2.0**-24

FIRST, LAST = "first", "last"
FORMATS = {FIRST: {4: "NCHW", 5: "NCDHW"}, LAST: {4: "NHWC", 5: "NDHWC"}}


def axes(form: str, *per_axis: Any) -> list[Any]:
    """(N, C, ...) in the order of the form."""
    batch, channels, *space = per_axis
    return [batch, channels, *space] if form == FIRST else [batch, *space, channels]


def constant(x: Any, value: Array) -> Any:
    return tf.constant(value, x.dtype)


@dataclass(frozen=True)
class Case:
    """An operation as TensorFlow's API calls it, in either layout, and its definition on channels-last maps."""

    call: Callable[[Any, str, str], Any]
    definition: Callable[[Array], Array]


# No two axes are alike.
CASES: dict[str, Case] = {
    "convolution with strides": Case(
        lambda x, form, f: tf.nn.conv2d(x, constant(x, KERNEL), axes(form, 1, 1, 2, 1), "SAME", f),
        lambda x: convolution(x, KERNEL, (2, 1)),
    ),
    "convolution with explicit padding": Case(
        lambda x, form, f: tf.nn.conv2d(x, constant(x, KERNEL), 1, axes(form, [0, 0], [0, 0], [2, 0], [1, 3]), f),
        lambda x: convolution(x, KERNEL, (1, 1), [(2, 0), (1, 3)]),
    ),
    "convolution with dilations": Case(
        lambda x, form, f: tf.nn.conv2d(x, constant(x, KERNEL), 1, "VALID", f, axes(form, 1, 1, 2, 3)),
        lambda x: convolution(x, KERNEL, (1, 1), "VALID", (2, 3)),
    ),
    "convolution in groups": Case(
        lambda x, form, f: tf.nn.conv2d(x, constant(x, GROUPED), 1, "SAME", f),
        lambda x: convolution(x, GROUPED, (1, 1)),
    ),
    "depthwise convolution": Case(
        lambda x, form, f: tf.nn.depthwise_conv2d(x, constant(x, DEPTHWISE), axes(form, 1, 1, 2, 2), "SAME", f),
        lambda x: depthwise_convolution(x, DEPTHWISE, (2, 2)),
    ),
    "transposed convolution": Case(
        lambda x, form, f: tf.nn.conv2d_transpose(x, constant(x, TRANSPOSED), axes(form, 2, 4, 16, 10), axes(form, 1, 1, 2, 1), "SAME", f),
        lambda x: transposed_convolution(x, TRANSPOSED, (16, 10), (2, 1)),
    ),
    "largest of a window": Case(
        lambda x, form, f: tf.nn.max_pool2d(x, axes(form, 1, 1, 2, 3), axes(form, 1, 1, 2, 1), "SAME", f),
        lambda x: largest(x, (2, 3), (2, 1)),
    ),
    "mean of a window": Case(
        lambda x, form, f: tf.nn.avg_pool2d(x, axes(form, 1, 1, 2, 3), axes(form, 1, 1, 2, 1), "SAME", f),
        lambda x: mean(x, (2, 3), (2, 1)),
    ),
    "bias": Case(
        lambda x, form, f: tf.nn.bias_add(x, constant(x, MOMENTS[0]), f),
        lambda x: x + MOMENTS[0].astype(np.float64),
    ),
    "space to depth": Case(lambda x, form, f: tf.nn.space_to_depth(x, 2, f), lambda x: space_to_depth(x, 2)),
}
VOLUME_CASES: dict[str, Case] = {
    "convolution": Case(
        lambda x, form, f: tf.nn.conv3d(x, constant(x, CUBE), axes(form, 1, 1, 1, 2, 1), "SAME", f),
        lambda x: convolution(x, CUBE, (1, 2, 1)),
    ),
    "largest of a window": Case(
        lambda x, form, f: tf.nn.max_pool3d(x, axes(form, 1, 1, 2, 3, 1), axes(form, 1, 1, 1, 2, 3), "SAME", f),
        lambda x: largest(x, (2, 3, 1), (1, 2, 3)),
    ),
    "mean of a window": Case(
        lambda x, form, f: tf.nn.avg_pool3d(x, axes(form, 1, 1, 2, 3, 2), axes(form, 1, 1, 1, 2, 3), "SAME", f),
        lambda x: mean(x, (2, 3, 2), (1, 2, 3)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_in_float64_an_operation_on_maps_is_its_definition_in_either_layout(name: str, tmp_path: Path) -> None:
    case, last = CASES[name], MAPS.transpose(0, 2, 3, 1)
    expected = case.definition(last)
    found, exact = replayed(tmp_path / "last", lambda x: case.call(x, LAST, "NHWC"), last)
    assert distance(exact, expected) < DOUBLE
    assert distance(found, expected) < SINGLE
    found, exact = replayed(tmp_path / "first", lambda x: case.call(x, FIRST, "NCHW"), MAPS)
    assert distance(exact, expected.transpose(0, 3, 1, 2)) < DOUBLE
    assert distance(found, expected.transpose(0, 3, 1, 2)) < SINGLE


@pytest.mark.parametrize("name", VOLUME_CASES)
def test_in_float64_an_operation_on_volumes_is_its_definition_in_either_layout(name: str, tmp_path: Path) -> None:
    """The graph's own float32 is not judged: TensorFlow's MaxPool3D is wrong on some processors, which the recording finds by itself."""
    case, last = VOLUME_CASES[name], VOLUME.transpose(0, 2, 3, 4, 1)
    expected = case.definition(last)
    _, exact = replayed(tmp_path / "last", lambda x: case.call(x, LAST, "NDHWC"), last)
    assert distance(exact, expected) < DOUBLE
    _, exact = replayed(tmp_path / "first", lambda x: case.call(x, FIRST, "NCDHW"), VOLUME)
    assert distance(exact, expected.transpose(0, 4, 1, 2, 3)) < DOUBLE


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
    assert distance(exact, (x - m) / np.sqrt(v + 0.25) * a + b) < DOUBLE
    assert distance(found, exact) < SINGLE


def test_a_batchs_own_moments_in_float64(tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    ones = tf.ones(6)
    _, exact = replayed(tmp_path, lambda x: tf.compat.v1.nn.fused_batch_norm(x, ones, ones * 2, epsilon=0.25)[0], x)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 0.25) + 2
    assert distance(exact, expected) < DOUBLE


@pytest.mark.parametrize("size", [(12, 15), (5, 7), (8, 3), (1, 10)])
@pytest.mark.parametrize("options", [{}, {"align_corners": True}, {"half_pixel_centers": True}])
def test_bilinear_interpolation_in_float64(options: dict[str, bool], size: tuple[int, int], tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    found, exact = replayed(tmp_path, lambda x: tf.raw_ops.ResizeBilinear(images=x, size=size, **options), x)
    expected = bilinear(x, size, **options)
    assert distance(exact, expected) < DOUBLE
    assert distance(found, expected) < SINGLE


def test_interpolation_halves_exactly(tmp_path: Path) -> None:
    x = np.array([[[[1.0], [2.0]], [[4.0], [8.0]]]], np.float32)
    _, exact = replayed(tmp_path, lambda x: tf.raw_ops.ResizeBilinear(images=x, size=(3, 3), align_corners=True), x)
    np.testing.assert_array_equal(exact[0, :, :, 0], [[1, 1.5, 2], [2.5, 3.75, 5], [4, 6, 8]])


def test_local_response_normalisation_in_float64(tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    found, exact = replayed(tmp_path, lambda x: tf.nn.lrn(x, depth_radius=1, bias=0.5, alpha=0.75, beta=0.25), x)
    wide = np.pad(x.astype(np.float64) ** 2, [(0, 0)] * 3 + [(1, 1)])
    power = wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]
    assert distance(exact, x / (0.5 + 0.75 * power) ** 0.25) < DOUBLE
    assert distance(found, exact) < SINGLE


def test_a_transposed_convolution_in_groups_is_the_adjoint_of_the_convolution() -> None:
    given, y = (tf.constant(RNG.standard_normal(shape)) for shape in ((2, 8, 10, 6), (2, 8, 10, 4)))
    kernel = tf.constant(GROUPED, tf.float64)
    there = convolution(given.numpy(), GROUPED, (1, 1))
    attrs = {"T": tf.float64.as_datatype_enum, "strides": [1] * 4, "padding": b"SAME", "dilations": [1] * 4, "data_format": b"NHWC"}
    (back,) = run("Conv2DBackpropInput", [tf.constant([2, 8, 10, 6]), kernel, y], attrs)
    np.testing.assert_allclose(tf.reduce_sum(there * y), tf.reduce_sum(given * back), rtol=1e-12)


def test_a_dilated_transposed_convolution_is_the_adjoint_of_the_convolution() -> None:
    given, y = (tf.constant(RNG.standard_normal(shape)) for shape in ((2, 8, 10, 6), (2, 4, 7, 4)))
    kernel = tf.constant(KERNEL, tf.float64)
    there = convolution(given.numpy(), KERNEL, (1, 1), "VALID", (2, 3))
    attrs = {"T": tf.float64.as_datatype_enum, "strides": [1] * 4, "padding": b"VALID", "dilations": [1, 2, 3, 1], "data_format": b"NHWC"}
    (back,) = run("Conv2DBackpropInput", [tf.constant([2, 8, 10, 6]), kernel, y], attrs)
    np.testing.assert_allclose(tf.reduce_sum(there * y), tf.reduce_sum(given * back), rtol=1e-12)


def test_a_dilated_depthwise_convolution(tmp_path: Path) -> None:
    x = MAPS.transpose(0, 2, 3, 1)
    options = {"strides": [1] * 4, "padding": "VALID"}

    def dilated(x: Any) -> Any:
        return tf.raw_ops.DepthwiseConv2dNative(input=x, filter=tf.constant(DEPTHWISE), dilations=[1, 3, 2, 1], **options)

    _, exact = replayed(tmp_path, dilated, x)
    assert distance(exact, depthwise_convolution(x, DEPTHWISE, (1, 1), "VALID", (3, 2))) < DOUBLE


def test_what_an_optimiser_fused_is_taken_apart() -> None:
    x, bias = tf.constant(MAPS.transpose(0, 2, 3, 1), tf.float64), tf.constant([0.5, -1.5, 2.5, -0.25], tf.float64)
    kernel = tf.constant(KERNEL, tf.float64)
    attrs = {"T": x.dtype.as_datatype_enum, "strides": [1, 2, 1, 1], "padding": b"SAME", "data_format": b"NHWC", "num_args": 1}
    (found,) = run("_FusedConv2D", [x, kernel, bias], {**attrs, "fused_ops": [b"BiasAdd", b"LeakyRelu"], "leakyrelu_alpha": 0.125})
    expected = convolution(x.numpy(), KERNEL, (2, 1)) + bias.numpy()
    assert distance(found, np.where(expected > 0, expected, expected / 8)) < DOUBLE


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
    expected = convolution(scaled, kernel, (1, 1)).transpose(0, 3, 1, 2)
    assert distance(exact, expected) < DOUBLE
    assert distance(found, expected) < SINGLE
