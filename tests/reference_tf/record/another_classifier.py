"""MobileNetV1 as two other authors would have released it: keras.applications' own, and one of bare operations under names of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

Tensor = Any
SIZE = 32
LABELS = 3
# (outputs of the pointwise convolution, stride of the depthwise one)
PAIRS = ((6, 1), (10, 2), (10, 1), (14, 2))


def applications(folder: Path) -> Path:
    """keras.applications' MobileNet at a quarter of its width, softmax included."""
    model = tf_keras.applications.MobileNet(input_shape=(SIZE, SIZE, 3), alpha=0.25, weights=None, classes=LABELS, dropout=0.3)
    rng = np.random.default_rng(3)
    for variable in model.variables:
        variable.assign(_drawn(rng, variable.name, tuple(variable.shape)))
    model.save(str(folder / "mobilenet.savedmodel"), save_format="tf", include_optimizer=False)
    return folder


def bare(folder: Path) -> Path:
    """Channels first inside and last outside; the image in [0, 255] inside, normalisation written out, no layer's name."""
    tf.saved_model.save(Bare(), str(folder / "mobilenet.savedmodel"))
    return folder


class Bare(tf.Module):
    """The same operations for every unit, on variables that are numbered as they are made."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(4)
        self.units = [self._unit(3, 3, 3, 4, 2)]
        inputs = 4
        for outputs, stride in PAIRS:
            self.units += [self._unit(3, 3, inputs, None, stride), self._unit(1, 1, inputs, outputs, 1)]
            inputs = outputs
        self.last = (self._variable("last/kernel", inputs, LABELS), self._variable("last/beta", LABELS))
        self.classify.get_concrete_function(tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32))

    def _variable(self, name: str, *shape: int) -> Any:
        return tf.Variable(_drawn(self._rng, name, shape), name=name)

    def _unit(self, height: int, width: int, inputs: int, outputs: int | None, stride: int) -> tuple[Any, ...]:
        channels = outputs or inputs
        kernel = self._variable("depthwise_kernel" if outputs is None else "kernel", height, width, inputs, outputs or 1)
        moments = (self._variable(name, channels) for name in ("a/gamma", "b/beta", "c/moving_mean", "d/moving_variance"))
        return kernel, *moments, stride

    @tf.function
    def classify(self, images: Tensor) -> Tensor:
        """[N, H, W, 3] in [-1, 1] to logits [N, labels]."""
        x = tf.transpose((images + 1.0) * 127.5 / 255.0, [0, 3, 1, 2])
        for kernel, gamma, beta, mean, variance, stride in self.units:
            strides = [1, 1, stride, stride]
            depthwise = kernel.shape[3] == 1
            convolve = tf.nn.depthwise_conv2d if depthwise else tf.nn.conv2d
            if stride == 2:
                x = tf.pad(x, [[0, 0], [0, 0], [0, 1], [0, 1]])
            x = convolve(x, kernel, strides, "VALID" if stride == 2 else "SAME", data_format="NCHW")
            mean, variance, beta, gamma = (tf.reshape(variable, [1, -1, 1, 1]) for variable in (mean, variance, beta, gamma))
            x = tf.nn.relu6(tf.nn.batch_normalization(x, mean, variance, beta, gamma, 2e-3))
        kernel, bias = self.last
        return tf.nn.bias_add(tf.matmul(tf.reduce_mean(x, axis=[2, 3]), kernel), bias)


def _drawn(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """None at a default, and of sizes that keep the signal near 1."""
    if "gamma" in name or "variance" in name:
        return rng.uniform(0.6, 1.5, shape).astype(np.float32)
    if "kernel" in name:
        fan_in = np.prod(shape[:2]) if "depthwise" in name else np.prod(shape[:-1])
        return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)
    return (0.3 * rng.standard_normal(shape) + 0.1).astype(np.float32)
