"""The released generator: z to w, dlatent to styles, styles to image (RELEASE_FORMAT, "Variable names" and "Call signatures")."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras

from stylexport.reference_tf.networks import ops
from stylexport.reference_tf.networks.build import Reference
from stylexport.reference_tf.networks.forward import generator_outputs
from stylexport.reference_tf.networks.layers import BiasAct, EqualizedDense, Execution, ModulatedConv2D, NamedLayer
from stylexport.reference_tf.networks.ops import Tensor
from stylexport.torch_models.config import GeneratorConfig, resolutions

SYNTHESIS = "generator_synthesis"
STYLES = "generator_style_calculator"


class Generator(tf_keras.Model):
    """The whole generator. Its parts can be called alone, as the authors' notebook does.

    `g_mapping`, `style_vector_calculator` and `g_synthesis` are those parts; `dlatent_avg` [latent] is the running mean of w,
    which no call uses.
    """

    def __init__(self, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__(name="generator", dtype=execution.dtype)
        self.g_mapping = Mapping(config, execution)
        self.style_vector_calculator = StyleVectorCalculator(config, execution)
        self.g_synthesis = Synthesis(config, execution)
        self.dlatent_avg = tf.Variable(tf.zeros([config.latent], execution.dtype), trainable=False, name="dlatent_avg")

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        """[z [N, z], label probabilities [N, labels]] to images [N, 3, R, R], unclipped."""
        z, probabilities = inputs
        dlatent = tf.concat([self.g_mapping(z, training=training), probabilities], axis=1)
        styles = self.style_vector_calculator(dlatent, training=training)
        return self.g_synthesis(styles, training=training)


class Mapping(NamedLayer):
    """z to w: second-moment normalisation, then dense layers whose weights and biases carry the learning-rate multiplier."""

    def __init__(self, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__("generator/generator_mapping", execution)
        self.epsilon = config.normalize_epsilon
        self.dense, self.dense_bias = [], []
        for i in range(config.mapping_layers):
            path, multiplier = self.path, config.mapping_lr_multiplier
            inputs = config.z if i == 0 else config.latent
            self.dense.append(EqualizedDense(f"{path}/Dense{i}", f"MappingDense_{i}", inputs, config.latent, execution, multiplier))
            self.dense_bias.append(
                BiasAct(
                    f"{path}/DenseBiasAct{i}",
                    f"MappingBias_{i}",
                    config.latent,
                    execution,
                    slope=config.leaky_slope,
                    gain=config.gain,
                    multiplier=multiplier,
                )
            )

    def call(self, z: Tensor, training: bool | None = None) -> Tensor:
        """[N, z] to [N, latent]."""
        x = ops.normalize_second_moment(z, self.epsilon)
        for dense, bias in zip(self.dense, self.dense_bias, strict=True):
            x = bias(dense(x))
        return x


class StyleDense(NamedLayer):
    """One affine: dlatent to a layer's style, whose mean is 1."""

    def __init__(self, name: str, inputs: int, channels: int, execution: Execution) -> None:
        super().__init__(f"{STYLES}/{name}", execution)
        self.dense = EqualizedDense(f"{self.path}/StyleGAN2Dense", "weight", inputs, channels, execution)
        self.dense_bias = BiasAct(f"{self.path}/FusedBiasActivation", "bias", channels, execution, row=True)

    def call(self, dlatent: Tensor) -> Tensor:
        """[N, dlatent] to [N, C]."""
        return self.dense_bias(self.dense(dlatent)) + 1.0


class StyleVectorCalculator(NamedLayer):
    """dlatent to the styles of every convolution and of every toRGB. A style has its layer's input channel count."""

    def __init__(self, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__(STYLES, execution)
        c, length = config.channels, config.dlatent
        self.style_dense_blocks = [StyleDense("StyleVectorConst", length, c[0], execution)]
        self.to_rgb_dense_blocks = [StyleDense("StyleVectorConstRGB", length, c[0], execution)]
        for k in range(len(c) - 1):
            self.style_dense_blocks += [
                StyleDense(f"StyleVector{k}_0", length, c[k], execution),
                StyleDense(f"StyleVector{k}_1", length, c[k + 1], execution),
            ]
            self.to_rgb_dense_blocks.append(StyleDense(f"StyleVectorRGB{k}", length, c[k + 1], execution))

    def call(self, dlatent: Tensor, training: bool | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """[N, dlatent] to (convolution styles, toRGB styles), two lists of [N, C]."""
        return [block(dlatent) for block in self.style_dense_blocks], [block(dlatent) for block in self.to_rgb_dense_blocks]


class SynthesisLayer(NamedLayer):
    """Modulated 3x3 convolution, constant noise, bias, leaky ReLU, gain. `up` doubles the size."""

    def __init__(
        self, path: str, noise: int, size: int, inputs: int, outputs: int, config: GeneratorConfig, execution: Execution, up: bool
    ) -> None:
        super().__init__(path, execution)
        taps = config.fir if up else None
        self.conv = ModulatedConv2D(f"{path}/ModulatedConv2D", 3, inputs, outputs, execution, epsilon=config.demodulation_epsilon, up=taps)
        self.noise = tf.Variable(tf.zeros((1, 1, size, size), execution.dtype), trainable=False, name=f"Noise{noise}")
        self.noise_strength = self.variable("NoiseStrength", ())
        self.bias_act = BiasAct(f"{path}/FusedBiasAct", "BiasAct", outputs, execution, slope=config.leaky_slope, gain=config.gain)

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """(x [N, in, H, W], style [N, in]) to [N, out, size, size]."""
        return self.bias_act(self.conv(inputs) + self.noise * self.noise_strength)


class ConstBlock(NamedLayer):
    """The learned constant and the one layer at 4 px."""

    def __init__(self, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__(f"{SYNTHESIS}/ConstBlock4x4", execution)
        c = config.channels[0]
        self.const = self.variable("Const4x4", (1, c, 4, 4))
        self.layer = SynthesisLayer(f"{self.path}/GeneratorLayer4x4", 0, 4, c, c, config, execution, up=False)

    def call(self, style: Tensor) -> Tensor:
        """The style [N, C] to [N, C, 4, 4]."""
        return self.layer((tf.tile(self.const, [tf.shape(style)[0], 1, 1, 1]), style))


class SynthesisBlock(NamedLayer):
    """The two layers at a resolution from 8."""

    def __init__(self, size: int, inputs: int, outputs: int, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__(f"{SYNTHESIS}/GeneratorBlock{size}x{size}", execution)
        noise = 2 * int(math.log2(size)) - 5
        self.conv0_up = SynthesisLayer(f"{self.path}/Conv0Up", noise, size, inputs, outputs, config, execution, up=True)
        self.conv1 = SynthesisLayer(f"{self.path}/Conv1", noise + 1, size, outputs, outputs, config, execution, up=False)

    def call(self, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """(x [N, in, H, W], style of conv0 [N, in], style of conv1 [N, out]) to [N, out, 2H, 2W]."""
        x, style0, style1 = inputs
        return self.conv1((self.conv0_up((x, style0)), style1))


class ToRGB(NamedLayer):
    """Modulated 1x1 convolution to the image's channels, without demodulation."""

    def __init__(self, size: int, inputs: int, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__(f"{SYNTHESIS}/ToRGB{size}x{size}", execution)
        outputs = config.image_channels
        self.conv = ModulatedConv2D(f"{self.path}/ModulatedConv2D", 1, inputs, outputs, execution, epsilon=None)
        self.bias_act = BiasAct(f"{self.path}/FusedBiasActivation", "ToRGBBiasAct", outputs, execution)

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """(x [N, C, H, W], style [N, C]) to [N, 3, H, W]."""
        return self.bias_act(self.conv(inputs))


class Synthesis(NamedLayer):
    """Styles to image: at each resolution the block's toRGB is added to the upsampled image so far (the "skip" architecture)."""

    def __init__(self, config: GeneratorConfig, execution: Execution) -> None:
        super().__init__(SYNTHESIS, execution)
        c, sizes = config.channels, resolutions(config.resolution)
        self.taps = tuple(config.fir)
        self.const_block = ConstBlock(config, execution)
        self.blocks = [SynthesisBlock(sizes[i], c[i - 1], c[i], config, execution) for i in range(1, len(sizes))]
        self.to_rgb = [ToRGB(size, channels, config, execution) for size, channels in zip(sizes, c, strict=True)]

    def call(self, styles: tuple[list[Tensor], list[Tensor]], training: bool | None = None) -> Tensor:
        """(convolution styles, toRGB styles) to images [N, 3, R, R], unclipped."""
        conv, rgb = styles
        x = self.const_block(conv[0])
        image = self.to_rgb[0]((x, rgb[0]))
        for i, block in enumerate(self.blocks):
            x = block((x, conv[2 * i + 1], conv[2 * i + 2]))
            image = ops.upsample_image(image, self.taps, cpu=self.execution.cpu) + self.to_rgb[i + 1]((x, rgb[i + 1]))
        return image


REFERENCE = Reference(Generator, generator_outputs, lambda config: {"z": (config.z,), "probabilities": (config.labels,)})
