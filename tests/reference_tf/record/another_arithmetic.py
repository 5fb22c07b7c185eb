"""StyleGAN2's layers in two hands: what they compute is the paper's, how it is written is as different as can be.

Everything is [N, C, H, W]; kernels are [h, w, in, out] and lie unscaled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

Tensor = Any


@dataclass(frozen=True)
class Hand:
    """How an author writes the same arithmetic.

    `fused`: one grouped convolution with a kernel a sample, and a grouped transposed one, else maps scaled before and behind a shared
    convolution, and zeros put between pixels. `gain`: where the gain stands, "behind" the leaky ReLU, "before" it or "inside" of it.
    `residual_first`: both branches of a block are scaled instead of their sum. `members`: the generator's parts that can be called by
    themselves. The rest are the paper's constants, or others.
    """

    fused: bool
    gain_at: str = "behind"
    residual_first: bool = False
    members: tuple[str, ...] = ("g_mapping", "style_vector_calculator", "g_synthesis")
    slope: float = 0.2
    gain: float = math.sqrt(2)
    residual: float = 1 / math.sqrt(2)
    fir: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    epsilon: float = 1e-8
    group: int = 4


FUSED = Hand(fused=True)
PLAIN = Hand(fused=False, gain_at="inside", residual_first=True, members=("style_vector_calculator", "g_synthesis"))


class Variables(tf.Module):
    """Variables that are drawn when they are first asked for, by name: none is at a default."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = np.random.default_rng(seed)
        self.held: dict[str, Any] = {}

    def get(self, name: str, *shape: int, std: float = 1.0) -> Any:
        """The variable `name`: a normal draw about a tenth of `std`."""
        if name not in self.held:
            with tf.init_scope():
                self.held[name] = tf.Variable(self._rng.normal(0.1 * std, std, shape).astype(np.float32), name=name)
        return self.held[name]


def dense(x: Tensor, weight: Any, hand: Hand, multiplier: float = 1.0) -> Tensor:
    """Data [N, in] times the weight [in, out] and its run-time coefficient."""
    coefficient = np.float32(multiplier / math.sqrt(weight.shape[0]))
    if hand.fused:
        return tf.matmul(x, weight * coefficient)
    return tf.einsum("ni,io->no", x, coefficient * weight)


def bias_act(x: Tensor, bias: Any, hand: Hand, act: bool = True) -> Tensor:
    """Bias over axis 1, then the leaky ReLU with its gain."""
    if x.shape.rank == 4:
        x = x + tf.reshape(bias, [1, -1, 1, 1]) if hand.fused else tf.nn.bias_add(x, tf.reshape(bias, [-1]), data_format="NCHW")
    else:
        x = tf.nn.bias_add(x, bias) if hand.fused else x + bias
    if not act:
        return x
    if hand.gain_at == "before":
        return tf.nn.leaky_relu(x * hand.gain, hand.slope)
    if hand.gain_at == "inside":
        return tf.maximum(x * hand.gain, x * (hand.slope * hand.gain))
    return tf.maximum(x, hand.slope * x) * hand.gain


def _conv(x: Tensor, kernel: Tensor, padding: str, stride: int = 1) -> Tensor:
    return tf.nn.conv2d(x, kernel, [1, 1, stride, stride], padding, data_format="NCHW")


def filtered(x: Tensor, pad: tuple[int, int], *, hand: Hand, up: int = 1, gain: float = 1.0) -> Tensor:
    """Zeros between pixels (`up`), zeros round them (before, behind), then the filter: every channel is a map of its own."""
    n, c, h, w = tf.shape(x)[0], x.shape[1], x.shape[2], x.shape[3]
    y = tf.reshape(x, [-1, 1, h, w])
    if up > 1:
        y = tf.reshape(y, [-1, h, 1, w, 1])
        y = tf.reshape(tf.pad(y, [[0, 0], [0, 0], [0, up - 1], [0, 0], [0, up - 1]]), [-1, 1, h * up, w * up])
    y = tf.pad(y, [[0, 0], [0, 0], pad, pad])
    taps = np.asarray(hand.fir, np.float32)
    taps = taps / taps.sum()
    if hand.fused:
        y = _conv(y, tf.constant(np.outer(taps, taps) * gain, tf.float32)[::-1, ::-1, None, None], "VALID")
    else:
        y = _conv(y, tf.constant(taps * math.sqrt(gain), tf.float32)[::-1][:, None, None, None], "VALID")
        y = _conv(y, tf.constant(taps * math.sqrt(gain), tf.float32)[::-1][None, :, None, None], "VALID")
    return tf.reshape(y, [n, c, h * up + sum(pad) - 3, w * up + sum(pad) - 3])


def downscaled(x: Tensor, weight: Any, hand: Hand, down: bool = False) -> Tensor:
    """A convolution of a critic; `down` filters and then takes every second place."""
    size = weight.shape[0]
    kernel = weight * np.float32(1 / math.sqrt(np.prod(weight.shape[:3])))
    if not down:
        return _conv(x, kernel, "SAME")
    side = (size + 1) // 2
    y = filtered(x, (side, side), hand=hand)
    if hand.fused or size > 1:
        return _conv(y, kernel, "VALID", 2)
    return _conv(y[:, :, ::2, ::2], kernel, "VALID")


def modulated(x: Tensor, weight: Any, style: Tensor, hand: Hand, *, up: bool = False, demodulate: bool = True) -> Tensor:
    """Equations 1 to 3 of the StyleGAN2 paper; `up` doubles the size by a transposed convolution with the kernel turned round."""
    kernel = weight * np.float32(1 / math.sqrt(np.prod(weight.shape[:3])))
    return (_a_kernel_a_sample if hand.fused else _one_kernel)(x, kernel, style, hand, up, demodulate)


def _a_kernel_a_sample(x: Tensor, kernel: Tensor, style: Tensor, hand: Hand, up: bool, demodulate: bool) -> Tensor:
    """The style and its normalisation go into a kernel for each sample; all samples are one map of many groups."""
    size, _, into, out = kernel.shape
    height, width = x.shape[2:]
    n = tf.shape(x)[0]
    each = kernel[None] * style[:, None, None, :, None]  # [N, h, w, in, out]
    if demodulate:
        each *= tf.math.rsqrt(tf.reduce_sum(tf.square(each), axis=[1, 2, 3]) + hand.epsilon)[:, None, None, None, :]
    x = tf.reshape(x, [1, -1, height, width])
    if up:
        turned = tf.reshape(tf.transpose(each[:, ::-1, ::-1], [1, 2, 4, 0, 3]), [size, size, out, n * into])
        shape = [1, n * out, 2 * height + 1, 2 * width + 1]
        y = tf.nn.conv2d_transpose(x, turned, shape, [1, 1, 2, 2], "VALID", data_format="NCHW")
        y = tf.reshape(y, [n, out, 2 * height + 1, 2 * width + 1])
        return filtered(y, (1, 1), gain=4, hand=hand)
    y = _conv(x, tf.reshape(tf.transpose(each, [1, 2, 3, 0, 4]), [size, size, into, n * out]), "SAME")
    return tf.reshape(y, [n, out, height, width])


def _one_kernel(x: Tensor, kernel: Tensor, style: Tensor, hand: Hand, up: bool, demodulate: bool) -> Tensor:
    """The style scales the map, its normalisation what comes out; a transposed convolution is one with zeros between pixels."""
    y = x * style[:, :, None, None]
    if up:
        _, c, height, width = x.shape
        y = tf.stack([y, tf.zeros_like(y)], axis=3)
        y = tf.reshape(y, [-1, c, 2 * height, width])
        y = tf.reshape(tf.stack([y, tf.zeros_like(y)], axis=4), [-1, c, 2 * height, 2 * width])
        y = _conv(tf.pad(y, [[0, 0], [0, 0], [2, 1], [2, 1]]), kernel, "VALID")
    else:
        y = _conv(y, kernel, "SAME")
    if demodulate:
        power = tf.einsum("hwio,ni->no", kernel**2, style**2)
        y /= tf.sqrt(power + hand.epsilon)[:, :, None, None]
    return filtered(y, (1, 1), gain=4, hand=hand) if up else y
