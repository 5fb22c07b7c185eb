"""Keras layers whose variables have the released names.

A layer's `path` is the scope that the release writes before its variables' names; its last part is the Keras layer's name, so
that the graph's scopes read like the variables' names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from stylexport.reference_tf.networks import ops
from stylexport.reference_tf.networks.ops import Tensor


@dataclass(frozen=True)
class Execution:
    """How a network computes: its dtype, and whether in a layout that every device runs (`cpu`) or in the original's NCHW."""

    dtype: str = "float32"
    cpu: bool = True


class NamedLayer(tf_keras.layers.Layer):
    """A layer that knows the released path of its variables."""

    def __init__(self, path: str, execution: Execution) -> None:
        super().__init__(name=path.rsplit("/", 1)[-1], dtype=execution.dtype)
        self.path = path
        self.execution = execution

    def variable(self, name: str, shape: Sequence[int]) -> Any:
        """A variable of zeros called `path`/`name`. The values are assigned later."""
        return tf.Variable(tf.zeros(shape, self.dtype), name=f"{self.path}/{name}")


class EqualizedDense(NamedLayer):
    """x [N, in] times an unscaled weight [in, out] times multiplier / sqrt(in). No bias."""

    def __init__(self, path: str, name: str, inputs: int, outputs: int, execution: Execution, multiplier: float = 1.0) -> None:
        super().__init__(path, execution)
        self.weight = self.variable(name, (inputs, outputs))
        self.coefficient = multiplier * ops.fan_in_scale(self.weight.shape)

    def call(self, x: Tensor) -> Tensor:
        """[N, in] to [N, out]."""
        return tf.matmul(x, self.weight * self.coefficient)


class BiasAct(NamedLayer):
    """Adds a bias times multiplier to [N, C, ...], then leaky ReLU and gain. The bias is [C], for styles (`row`) [1, C]."""

    def __init__(
        self,
        path: str,
        name: str,
        channels: int,
        execution: Execution,
        *,
        slope: float = 1.0,
        gain: float = 1.0,
        multiplier: float = 1.0,
        row: bool = False,
    ) -> None:
        super().__init__(path, execution)
        self.bias = self.variable(name, (1, channels) if row else (channels,))
        self.slope, self.gain, self.multiplier = slope, gain, multiplier

    def call(self, x: Tensor) -> Tensor:
        """[N, C, ...] to the same shape."""
        bias = self.bias if self.multiplier == 1.0 else self.bias * self.multiplier
        return ops.leaky_relu(x + tf.reshape(bias, [1, -1] + [1] * (len(x.shape) - 2)), self.slope, self.gain)


class EqualizedConv2D(NamedLayer):
    """Convolution by an unscaled kernel [k, k, in, out] times 1 / sqrt(fan in), SAME. `down`, the filter's taps, halves the size."""

    def __init__(
        self, path: str, kernel: int, inputs: int, outputs: int, execution: Execution, down: Sequence[float] | None = None
    ) -> None:
        super().__init__(path, execution)
        self.weight = self.variable("weight", (kernel, kernel, inputs, outputs))
        self.coefficient = ops.fan_in_scale(self.weight.shape)
        self.down = None if down is None else tuple(down)

    def call(self, x: Tensor) -> Tensor:
        """[N, in, H, W] to [N, out, H, W] or [N, out, H/2, W/2]."""
        kernel = self.weight * self.coefficient
        if self.down is not None:
            return ops.conv_down(x, kernel, self.down, cpu=self.execution.cpu)
        return ops.conv2d(x, kernel, padding="SAME", cpu=self.execution.cpu)


class ModulatedConv2D(NamedLayer):
    """A convolution whose input channels are scaled by a style, and whose output channels are brought back to unit variance.

    Karras et al. 2020, section 2.2 and equations 1 to 3, in the form that shares the kernel: scaling the input is scaling the
    kernel, and demodulation scales the output. `up` are the filter's taps where the layer doubles the size; `epsilon` None
    leaves the demodulation out (toRGB).
    """

    def __init__(
        self,
        path: str,
        kernel: int,
        inputs: int,
        outputs: int,
        execution: Execution,
        *,
        epsilon: float | None,
        up: Sequence[float] | None = None,
    ) -> None:
        super().__init__(path, execution)
        self.weight = self.variable("weight", (kernel, kernel, inputs, outputs))
        self.coefficient = ops.fan_in_scale(self.weight.shape)
        self.epsilon = epsilon
        self.up = None if up is None else tuple(up)

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """(x [N, in, H, W], style [N, in]) to [N, out, H, W] or [N, out, 2H, 2W]."""
        x, style = inputs
        kernel, cpu = self.weight * self.coefficient, self.execution.cpu
        x = x * style[:, :, None, None]
        x = ops.conv2d(x, kernel, padding="SAME", cpu=cpu) if self.up is None else ops.conv_up(x, kernel, self.up, cpu=cpu)
        if self.epsilon is None:
            return x
        power = tf.matmul(tf.square(style), tf.reduce_sum(tf.square(kernel), axis=[0, 1]))  # [N, out]
        return x * tf.math.rsqrt(power + self.epsilon)[:, :, None, None]
