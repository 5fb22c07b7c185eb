"""The released encoder and discriminator: StyleGAN2's residual discriminator with two different ends."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from stylexport.reference_tf.networks import ops
from stylexport.reference_tf.networks.build import Reference
from stylexport.reference_tf.networks.forward import encode, score
from stylexport.reference_tf.networks.layers import BiasAct, EqualizedConv2D, EqualizedDense, Execution, NamedLayer
from stylexport.reference_tf.networks.ops import Tensor
from stylexport.torch_models.config import DiscriminatorConfig, EncoderConfig, resolutions


@dataclass(frozen=True)
class Names:
    """The parts of variable names in which the two networks differ. `prefix` comes before the layers' names, except Conv4x4's."""

    model: str
    prefix: str
    bias_4x4: str
    last_dense: str
    last_bias: str


ENCODER = Names("encoder", "Encoder", "EncoderConvBiasAct4x4", "style_gan2_dense", "EncoderOutputBiasAct")
# The 4 is Keras's counter of unnamed layers, as it is in the released file.
DISCRIMINATOR = Names("discriminator_1", "", "ConvBiasAct4x4", "style_gan2_dense_4", "OutputBiasAct")


class Encoder(tf_keras.Model):
    """Image to w."""

    def __init__(self, config: EncoderConfig, execution: Execution) -> None:
        super().__init__(name=ENCODER.model, dtype=execution.dtype)
        self.trunk = _trunk(config, ENCODER, execution)
        self.head = Head(config, ENCODER, config.channels[0], config.latent, execution)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """[N, 3, R, R] to w [N, latent]."""
        return self.head(_through(self.trunk, images))


class Discriminator(tf_keras.Model):
    """Image and label probabilities to one score: the last dense has one output a label (Mescheder et al. 2018)."""

    def __init__(self, config: DiscriminatorConfig, execution: Execution) -> None:
        super().__init__(name=DISCRIMINATOR.model, dtype=execution.dtype)
        self.group, self.epsilon = config.mbstd_group, config.mbstd_epsilon
        self.trunk = _trunk(config, DISCRIMINATOR, execution)
        self.head = Head(config, DISCRIMINATOR, config.channels[0] + 1, config.labels, execution)

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        """[images [N, 3, R, R], label probabilities [N, labels]] to scores [N, 1]."""
        images, probabilities = inputs
        x = ops.minibatch_stddev(_through(self.trunk, images), self.group, self.epsilon)
        return tf.reduce_sum(self.head(x) * probabilities, axis=1, keepdims=True)


class FromRGB(NamedLayer):
    """1x1 convolution from the image's channels, at the input resolution."""

    def __init__(self, path: str, config: EncoderConfig | DiscriminatorConfig, execution: Execution) -> None:
        super().__init__(path, execution)
        out = config.channels[-1]
        self.conv = EqualizedConv2D(f"{path}/StyleGAN2Conv2D", 1, config.image_channels, out, execution)
        self.bias_act = _activation(f"{path}/FusedBiasActivation", "FromRGBBias", out, config, execution)

    def call(self, images: Tensor) -> Tensor:
        """[N, 3, R, R] to [N, C, R, R]."""
        return self.bias_act(self.conv(images))


class Block(NamedLayer):
    """Two 3x3 convolutions, the second at half size, plus a 1x1 skip; the sum is scaled by 1 / sqrt(2)."""

    def __init__(self, path: str, inputs: int, outputs: int, config: EncoderConfig | DiscriminatorConfig, execution: Execution) -> None:
        super().__init__(path, execution)
        self.conv0 = EqualizedConv2D(f"{path}/Conv0", 3, inputs, inputs, execution)
        self.conv0_bias = _activation(f"{path}/Conv0Bias", "BiasAct0", inputs, config, execution)
        self.conv1_down = EqualizedConv2D(f"{path}/Conv1Down", 3, inputs, outputs, execution, down=config.fir)
        self.conv1_bias = _activation(f"{path}/Conv1DownBiasAct", "BiasAct1", outputs, config, execution)
        self.skip = EqualizedConv2D(f"{path}/Skip", 1, inputs, outputs, execution, down=config.fir)
        self.scale = config.residual_scale

    def call(self, x: Tensor) -> Tensor:
        """[N, in, H, W] to [N, out, H/2, W/2]."""
        y = self.conv1_bias(self.conv1_down(self.conv0_bias(self.conv0(x))))
        return (y + self.skip(x)) * self.scale


class Head(tf_keras.layers.Layer):
    """The end at 4 px: 3x3 convolution, dense, dense. It has no variable scope in the release."""

    def __init__(self, config: EncoderConfig | DiscriminatorConfig, names: Names, inputs: int, outputs: int, execution: Execution) -> None:
        super().__init__(name="head", dtype=execution.dtype)
        model, prefix, c, hidden = names.model, names.prefix, config.channels[0], config.hidden
        self.conv = EqualizedConv2D(f"{model}/Conv4x4", 3, inputs, c, execution)
        self.conv_bias = _activation(f"{model}/{names.bias_4x4}", "ConvBiasAct4x4", c, config, execution)
        self.dense = EqualizedDense(f"{model}/{prefix}Dense4x4", "weight", c * 16, hidden, execution)
        self.dense_bias = _activation(f"{model}/{prefix}DenseBiasAct4x4", "DenseBiasAct4x4", hidden, config, execution)
        self.output_dense = EqualizedDense(f"{model}/{names.last_dense}", "weight", hidden, outputs, execution)
        self.output_bias = BiasAct(f"{model}/{names.last_bias}", "OutputBiasAct", outputs, execution)

    def call(self, x: Tensor) -> Tensor:
        """[N, C, 4, 4] to [N, out]. The dense layer sees the channels first: [N, C * 4 * 4]."""
        x = self.conv_bias(self.conv(x))
        x = tf.reshape(x, [-1, x.shape[1] * 16])
        x = self.dense_bias(self.dense(x))
        return self.output_bias(self.output_dense(x))


def _trunk(config: EncoderConfig | DiscriminatorConfig, names: Names, execution: Execution) -> list[NamedLayer]:
    """The layer from RGB, then the blocks from the input resolution down to 8."""
    scope, sizes, c = f"{names.model}/{names.prefix}", resolutions(config.resolution), config.channels
    layers: list[NamedLayer] = [FromRGB(f"{scope}FromRGB{sizes[-1]}x{sizes[-1]}", config, execution)]
    for i in range(len(sizes) - 1, 0, -1):
        block = "Block" if names.prefix else "DiscriminatorBlock"
        layers.append(Block(f"{scope}{block}{sizes[i]}x{sizes[i]}", c[i], c[i - 1], config, execution))
    return layers


def _through(layers: list[NamedLayer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _activation(path: str, name: str, channels: int, config: EncoderConfig | DiscriminatorConfig, execution: Execution) -> BiasAct:
    return BiasAct(path, name, channels, execution, slope=config.leaky_slope, gain=config.gain)


def _images(config: EncoderConfig | DiscriminatorConfig) -> tuple[int, ...]:
    return config.image_channels, config.resolution, config.resolution


ENCODER_REFERENCE = Reference(
    Encoder, lambda network, given: {"w": encode(network, given["image"])}, lambda config: {"images": _images(config)}
)
DISCRIMINATOR_REFERENCE = Reference(
    Discriminator,
    lambda network, given: {"score": score(network, given["image"], given["probabilities"])},
    lambda config: {"images": _images(config), "probabilities": (config.labels,)},
)
