"""StyleGAN2's operations against loops over numpy, in float64."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from stylexport.reference_tf.networks import ops
from stylexport.reference_tf.networks.layers import Execution, ModulatedConv2D

pytestmark = pytest.mark.tensorflow

Array = NDArray[np.float64]
RNG = np.random.default_rng(11)
TAPS = (1.0, 3.0, 4.0, 2.0)  # unlike the released taps, these tell a filter from its mirror image


def correlate(x: Array, kernel: Array, stride: int = 1) -> Array:
    """VALID cross-correlation of x [N, C, H, W] with a kernel [h, w, C, O]."""
    h, w = kernel.shape[:2]
    rows, columns = range(0, x.shape[2] - h + 1, stride), range(0, x.shape[3] - w + 1, stride)
    out = np.zeros((len(x), kernel.shape[3], len(rows), len(columns)))
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            out[:, :, i, j] = np.einsum("nchw,hwco->no", x[:, :, top : top + h, left : left + w], kernel)
    return out


def convolve_taps(x: Array, before: int, after: int, gain: float) -> Array:
    """Pads x with zeros and convolves it with the taps along each axis in turn, the kernel's sum being `gain`."""
    x = np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))
    taps = np.asarray(TAPS) / sum(TAPS)
    for axis in (2, 3):
        x = np.apply_along_axis(lambda line: np.convolve(line, taps, "valid"), axis, x)
    return gain * x


def zeros_between(x: Array) -> Array:
    out = np.zeros((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]))
    out[:, :, ::2, ::2] = x
    return out


def conv_up(x: Array, kernel: Array) -> Array:
    """The definition: zeros between the values, the plain convolution, the filter with gain 4."""
    padded = np.pad(zeros_between(x)[:, :, :-1, :-1], ((0, 0), (0, 0), (2, 2), (2, 2)))
    return convolve_taps(correlate(padded, kernel), 1, 1, 4.0)


def test_conv0_up_is_zero_insertion_then_plain_convolution_then_the_filter() -> None:
    x, kernel = RNG.standard_normal((2, 3, 4, 5)), RNG.standard_normal((3, 3, 3, 2))
    found = ops.conv_up(tf.constant(x), tf.constant(kernel), TAPS, cpu=True)
    assert found.shape == (2, 2, 8, 10)
    np.testing.assert_allclose(found, conv_up(x, kernel), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("size", "pad"), [(3, 2), (1, 1)])
def test_conv_down_filters_first_and_then_convolves_every_second_place(size: int, pad: int) -> None:
    x, kernel = RNG.standard_normal((2, 3, 8, 6)), RNG.standard_normal((size, size, 3, 2))
    found = ops.conv_down(tf.constant(x), tf.constant(kernel), TAPS, cpu=True)
    assert found.shape == (2, 2, 4, 3)
    np.testing.assert_allclose(found, correlate(convolve_taps(x, pad, pad, 1.0), kernel, 2), rtol=0, atol=1e-13)


def test_the_skip_image_is_upsampled_with_two_zeros_before_and_one_after() -> None:
    x = RNG.standard_normal((2, 3, 4, 5))
    found = ops.upsample_image(tf.constant(x), TAPS, cpu=True)
    np.testing.assert_allclose(found, convolve_taps(zeros_between(x), 2, 1, 4.0), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("images", "group"), [(6, 3), (3, 3), (8, 4)])
def test_minibatch_stddev_groups_images_that_lie_a_group_apart(images: int, group: int) -> None:
    x = RNG.standard_normal((images, 2, 3, 4))
    expected = np.empty((images, 1, 3, 4))
    for n in range(images):
        members = x[n % (images // group) :: images // group]
        expected[n] = np.mean(np.sqrt(members.var(axis=0) + 0.01))
    found = ops.minibatch_stddev(tf.constant(x), group, 0.01)
    np.testing.assert_allclose(found, np.concatenate([x, expected], axis=1), rtol=0, atol=1e-13)


def test_minibatch_stddev_of_fewer_images_than_a_group_is_over_all_of_them() -> None:
    x = tf.constant(RNG.standard_normal((2, 2, 3, 4)))
    np.testing.assert_array_equal(ops.minibatch_stddev(x, 4, 1e-8), ops.minibatch_stddev(x, 2, 1e-8))


@pytest.mark.parametrize("up", [None, TAPS])
def test_modulated_convolution_is_a_convolution_with_each_samples_own_kernel(up: tuple[float, ...] | None) -> None:
    x, style, weight = RNG.standard_normal((2, 3, 4, 4)), RNG.standard_normal((2, 3)) + 1, RNG.standard_normal((3, 3, 3, 5))
    layer = ModulatedConv2D("scope/ModulatedConv2D", 3, 3, 5, Execution("float64"), epsilon=0.01, up=up)
    layer.weight.assign(weight)
    found = layer((tf.constant(x), tf.constant(style)))
    for n in range(2):
        # Karras et al. 2020, equations 1 and 3
        kernel = weight / np.sqrt(27) * style[n][:, None]
        kernel = kernel / np.sqrt((kernel**2).sum(axis=(0, 1, 2)) + 0.01)
        alone = x[n : n + 1]
        same = np.pad(alone, ((0, 0), (0, 0), (1, 1), (1, 1)))
        expected = correlate(same, kernel) if up is None else conv_up(alone, kernel)
        np.testing.assert_allclose(found[n : n + 1], expected, rtol=0, atol=1e-13)
