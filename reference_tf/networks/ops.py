"""StyleGAN2's operations on [N, C, H, W] tensors (Karras et al. 2020, arXiv:1912.04958; filters: section 4 and appendix B).

Every function that convolves takes `cpu`. False keeps the original's NCHW convolutions, which TensorFlow's CPU kernels refuse;
True puts a transpose before and after each convolution, so that the same network runs anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Tensor = Any  # tensorflow ships no types


def conv2d(x: Tensor, kernel: Tensor, stride: int = 1, padding: str = "VALID", *, cpu: bool) -> Tensor:
    """Cross-correlation of x [N, C, H, W] with a kernel [h, w, C, O]; gives [N, O, H', W']."""
    if not cpu:
        return tf.nn.conv2d(x, kernel, strides=stride, padding=padding, data_format="NCHW")
    y = tf.nn.conv2d(_channels_last(x), kernel, strides=stride, padding=padding)
    return _channels_first(y)


def conv2d_transpose(x: Tensor, kernel: Tensor, *, cpu: bool) -> Tensor:
    """The gradient of a stride-2 VALID convolution: x [N, C, H, W], kernel [h, w, O, C] to [N, O, 2H + h - 2, 2W + w - 2]."""
    n, (height, width) = tf.shape(x)[0], x.shape[2:]
    h, w, out = kernel.shape[:3]
    height, width = 2 * height + h - 2, 2 * width + w - 2
    if not cpu:
        shape = [n, out, height, width]
        return tf.nn.conv2d_transpose(x, kernel, shape, strides=2, padding="VALID", data_format="NCHW")
    y = tf.nn.conv2d_transpose(_channels_last(x), kernel, [n, height, width, out], strides=2, padding="VALID")
    return _channels_first(y)


def fir_kernel(taps: Sequence[float], gain: float = 1.0) -> NDArray[np.float64]:
    """The separable filter's two-dimensional kernel [n, n], whose sum is `gain`.

    It is flipped in both axes, because filtering is convolution and TensorFlow's conv2d is correlation; for the released
    [1, 3, 3, 1] the two are the same.
    """
    row = np.asarray(taps, np.float64)
    kernel = np.outer(row, row)
    return gain * kernel[::-1, ::-1] / kernel.sum()


def fir_filter(x: Tensor, taps: Sequence[float], pads: tuple[int, int], gain: float = 1.0, *, cpu: bool) -> Tensor:
    """Every channel of x [N, C, H, W] filtered separately, after `pads` = (before, after) zeros on both axes."""
    kernel = tf.constant(fir_kernel(taps, gain)[:, :, None, None], x.dtype)
    channels, height, width = x.shape[1:]
    separate = tf.reshape(x, [-1, 1, height, width])
    separate = tf.pad(separate, [[0, 0], [0, 0], list(pads), list(pads)])
    separate = conv2d(separate, kernel, cpu=cpu)
    return tf.reshape(separate, [-1, channels, *separate.shape[2:]])


def insert_zeros(x: Tensor) -> Tensor:
    """[N, C, H, W] to [N, C, 2H, 2W], with the values at even places and zeros between them."""
    channels, height, width = x.shape[1:]
    x = tf.reshape(x, [-1, channels, height, 1, width, 1])
    x = tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, 1], [0, 0], [0, 1]])
    return tf.reshape(x, [-1, channels, 2 * height, 2 * width])


def upsample_image(x: Tensor, taps: Sequence[float], *, cpu: bool) -> Tensor:
    """The skip image [N, C, H, W] at twice its size; gain 4 compensates the zeros between the values."""
    return fir_filter(insert_zeros(x), taps, (2, 1), 4.0, cpu=cpu)


def conv_up(x: Tensor, kernel: Tensor, taps: Sequence[float], *, cpu: bool) -> Tensor:
    """Takes x [N, C, H, W] to [N, O, 2H, 2W] by a kernel [3, 3, C, O]: transposed convolution, then the filter.

    The kernel is flipped, because a transposed convolution flips it again: the two together are the plain convolution of the
    zero-inserted input.
    """
    flipped = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])  # [3, 3, O, C]
    return fir_filter(conv2d_transpose(x, flipped, cpu=cpu), taps, (1, 1), 4.0, cpu=cpu)


def conv_down(x: Tensor, kernel: Tensor, taps: Sequence[float], *, cpu: bool) -> Tensor:
    """Takes x [N, C, H, W] to [N, O, H/2, W/2] by a kernel [k, k, C, O], k = 3 or 1: filter, then convolve by stride 2."""
    pads = {3: (2, 2), 1: (1, 1)}[kernel.shape[0]]
    return conv2d(fir_filter(x, taps, pads, cpu=cpu), kernel, stride=2, cpu=cpu)


def leaky_relu(x: Tensor, slope: float, gain: float) -> Tensor:
    """Leaky ReLU, then the gain that keeps the variance (sqrt(2) in StyleGAN2). A slope of 1 is linear."""
    if slope != 1.0:
        # The operation holds its slope in float32 even where x is float64, which would be wrong by 1.5e-8.
        x = tf.maximum(x, x * slope) if x.dtype == tf.float64 else tf.nn.leaky_relu(x, slope)
    return x if gain == 1.0 else x * tf.constant(gain, x.dtype)


def normalize_second_moment(x: Tensor, epsilon: float) -> Tensor:
    """Each row of x [N, C] divided by the root of its mean square."""
    return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=1, keepdims=True) + tf.constant(epsilon, x.dtype))


def minibatch_stddev(x: Tensor, group: int, epsilon: float) -> Tensor:
    """Appends one channel to x [N, C, H, W]: the standard deviation over the images of a group.

    Karras et al. 2018, arXiv:1710.10196, section 3, with groups. A group is the images n, n + N/G, n + 2N/G ... with
    G = min(`group`, N). N must be a multiple of G, else TensorFlow raises InvalidArgumentError.
    """
    channels, height, width = x.shape[1:]
    size = tf.minimum(group, tf.shape(x)[0])
    y = tf.reshape(x, [size, -1, 1, channels, height, width])  # [G, N/G, F, C, H, W], F = 1 feature
    y -= tf.reduce_mean(y, axis=0, keepdims=True)
    deviation = tf.sqrt(tf.reduce_mean(tf.square(y), axis=0) + tf.constant(epsilon, x.dtype))  # [N/G, F, C, H, W]
    statistic = tf.reduce_mean(deviation, axis=[2, 3, 4])[:, :, None, None]  # [N/G, F, 1, 1]
    return tf.concat([x, tf.tile(statistic, [size, 1, height, width])], axis=1)


def fan_in_scale(shape: Sequence[int]) -> float:
    """1 / sqrt(fan in) of a kernel whose last axis is its output: the run-time coefficient of unscaled weights."""
    return 1 / math.sqrt(math.prod(shape[:-1]))


def _channels_last(x: Tensor) -> Tensor:
    return tf.transpose(x, [0, 2, 3, 1])


def _channels_first(x: Tensor) -> Tensor:
    return tf.transpose(x, [0, 3, 1, 2])
