"""MobileNetV1 (Howard et al. 2017, arXiv:1704.04861) as a Keras functional model, with the names that Keras gives its layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import tf_keras

from stylexport.common.errors import BadInput
from stylexport.reference_tf.networks.build import Reference
from stylexport.reference_tf.networks.forward import logits
from stylexport.reference_tf.networks.layers import Execution
from stylexport.torch_models.config import ConvSpec, MobileNetV1Config

ACTIVATIONS: dict[str, Callable[[float], dict[str, float]]] = {
    "relu": lambda slope: {},
    "relu6": lambda slope: {"max_value": 6.0},
    "leaky_relu": lambda slope: {"negative_slope": slope},
}
OUTPUTS = ("linear", "softmax", "sigmoid")


def mobilenet(config: MobileNetV1Config, execution: Execution) -> Any:
    """Images [N, R, R, 3] to `config.output` of the logits [N, labels].

    Images are NHWC with every execution, as the release's classifier takes them. Raises BadInput for an activation or an
    output that it does not know.
    """
    if config.output not in OUTPUTS:
        raise BadInput(f"the classifier's output is {config.output!r}, not one of {', '.join(OUTPUTS)}")
    build = _Builder(config, execution.dtype)
    size = config.resolution
    images = tf_keras.Input((size, size, config.image_channels), dtype=execution.dtype, name="images")
    x = images
    if (config.image_scale, config.image_shift) != (1.0, 0.0):
        x = build("Rescaling", scale=config.image_scale, offset=config.image_shift)(x)
    for spec in config.layers:
        x = build.convolution(spec, x)
    x = build("GlobalAveragePooling2D", keepdims=True)(x)
    x = build("Dropout", rate=config.dropout)(x)
    x = build("Conv2D", filters=config.labels, kernel_size=1, use_bias=config.head_bias)(x)
    x = build("Flatten")(x)
    if config.output != "linear":
        x = build("Activation", activation=config.output)(x)
    return tf_keras.Model(images, x, name="mobilenet")


class _Builder:
    """Makes Keras layers and names them as Keras's own counter would in a fresh process: conv2d, conv2d_1, ..."""

    def __init__(self, config: MobileNetV1Config, dtype: str) -> None:
        self.config, self.dtype, self.counts = config, dtype, Counter[str]()

    def __call__(self, kind: str, **options: Any) -> Any:
        base = NAMES[kind]
        name = f"{base}_{self.counts[base]}" if self.counts[base] else base
        self.counts[base] += 1
        return getattr(tf_keras.layers, kind)(name=name, dtype=self.dtype, **options)

    def convolution(self, spec: ConvSpec, x: Any) -> Any:
        """A convolution with what follows it."""
        padding = spec.padding
        if not isinstance(padding, str):
            top, bottom, left, right = padding
            x = self("ZeroPadding2D", padding=((top, bottom), (left, right)))(x)
            padding = "valid"
        options = {"strides": spec.stride, "padding": padding, "dilation_rate": spec.dilation, "use_bias": spec.bias}
        if spec.depthwise:
            x = self("DepthwiseConv2D", kernel_size=spec.kernel, **options)(x)
        else:
            x = self("Conv2D", filters=spec.out, kernel_size=spec.kernel, **options)(x)
        if spec.epsilon is not None:
            norm = {"epsilon": spec.epsilon, "scale": spec.scale, "center": spec.center, "momentum": 1 - self.config.momentum}
            x = self("BatchNormalization", **norm)(x)
        if spec.activation == "linear":
            return x
        if spec.activation not in ACTIVATIONS:
            raise BadInput(f"activation {spec.activation!r} is not one of linear, {', '.join(ACTIVATIONS)}")
        return self("ReLU", **ACTIVATIONS[spec.activation](spec.slope))(x)


NAMES = {
    "Activation": "activation",
    "BatchNormalization": "batch_normalization",
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "Dropout": "dropout",
    "Flatten": "flatten",
    "GlobalAveragePooling2D": "global_average_pooling2d",
    "ReLU": "re_lu",
    "Rescaling": "rescaling",
    "ZeroPadding2D": "zero_padding2d",
}


REFERENCE = Reference(mobilenet, lambda network, given: {"logits": logits(network, given["image"].transpose(0, 2, 3, 1))})
