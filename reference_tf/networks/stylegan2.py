"""StyleGAN2 under the names of NVIDIA's own variables, written here from the paper (Karras et al. 2020; 2020b: adaptive augmentation).

A file of NVIDIA's holds weights and no graph. This network, filled with the file's variables by their own names and in their own layouts,
is what such a file is recorded and verified with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Named
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from stylexport.common.types import Array
from stylexport.reference_tf.networks import ops
from stylexport.reference_tf.networks.build import Reference
from stylexport.reference_tf.networks.forward import image, styles
from stylexport.reference_tf.networks.layers import BiasAct, EqualizedConv2D, EqualizedDense, Execution, ModulatedConv2D, NamedLayer
from stylexport.reference_tf.networks.ops import Tensor
from stylexport.torch_models.config import channels_by_resolution
from stylexport.torch_models.stylegan2_config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig

SYNTHESIS, MAPPING, DISCRIMINATOR = "G_synthesis", "G_mapping", "D"
_WHOLE_BATCH = 2**30


class Generator(tf_keras.Model):
    """z, or [z, classes] where there are classes, to images; its parts can be called alone."""

    def __init__(self, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__(name="stylegan2_generator", dtype=execution.dtype)
        self.g_mapping = Mapping(config, execution)
        self.style_vector_calculator = StyleVectors(config, execution)
        self.g_synthesis = Synthesis(config, execution)
        self.dlatent_avg = tf.Variable(tf.zeros([config.latent], execution.dtype), trainable=False, name="dlatent_avg")

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Images [N, 3, R, R], unclipped."""
        return self.g_synthesis(self.style_vector_calculator(self.g_mapping(inputs)))


class Mapping(NamedLayer):
    """z [N, z] to w [N, latent]. Classes stand behind z, normalised with it or by themselves."""

    def __init__(self, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__(MAPPING, execution)
        self.embedding, self.epsilon = config.label_embedding, config.normalize_epsilon
        if self.embedding == "joint":
            self.label_concat = self.variable("LabelConcat/weight", (config.classes, config.embedding))
        if self.embedding == "separate":
            self.label_dense = EqualizedDense(f"{MAPPING}/LabelEmbed", "weight", config.classes, config.embedding, execution)
            self.label_bias = BiasAct(f"{MAPPING}/LabelEmbed", "bias", config.embedding, execution)
        multiplier = config.mapping_lr_multiplier
        act: dict[str, Any] = {"slope": config.leaky_slope, "gain": config.gain, "multiplier": multiplier}
        self.dense, self.dense_bias = [], []
        for i, (inputs, outputs) in enumerate(pairwise(config.mapping_sizes)):
            self.dense.append(EqualizedDense(f"{MAPPING}/Dense{i}", "weight", inputs, outputs, execution, multiplier))
            self.dense_bias.append(BiasAct(f"{MAPPING}/Dense{i}", "bias", outputs, execution, **act))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """z, or [z, classes]."""
        if self.embedding == "none":
            x = ops.normalize_second_moment(inputs, self.epsilon)
        elif self.embedding == "joint":
            x = ops.normalize_second_moment(tf.concat([inputs[0], tf.matmul(inputs[1], self.label_concat)], 1), self.epsilon)
        else:
            embedded = self.label_bias(self.label_dense(inputs[1]))
            x = tf.concat([ops.normalize_second_moment(part, self.epsilon) for part in (inputs[0], embedded)], 1)
        for dense, bias in zip(self.dense, self.dense_bias, strict=True):
            x = bias(dense(x))
        return x


class Affine(NamedLayer):
    """w to one layer's style."""

    def __init__(self, path: str, channels: int, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__(path, execution)
        self.dense = EqualizedDense(path, "mod_weight", config.latent, channels, execution)
        self.dense_bias = BiasAct(path, "mod_bias", channels, execution)
        self.offset = config.style_offset

    def call(self, w: Tensor) -> Tensor:
        """[N, latent] to [N, C]."""
        style = self.dense_bias(self.dense(w))
        return style + self.offset if self.offset else style


class StyleVectors(NamedLayer):
    """w to the styles of every convolution and of every toRGB."""

    def __init__(self, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__("styles", execution)
        channels = channels_by_resolution(config.resolution, config.channels)
        conv, rgb = [], []
        for r, out in channels.items():
            scope = f"{SYNTHESIS}/{r}x{r}"
            layers = [("Conv", out)] if r == 4 else [("Conv0_up", channels[r // 2]), ("Conv1", out)]
            conv += [Affine(f"{scope}/{layer}", size, config, execution) for layer, size in layers]
            rgb.append(Affine(f"{scope}/ToRGB", out, config, execution))
        self.conv, self.rgb = conv, rgb

    def call(self, w: Tensor, training: bool | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """[N, latent] to (convolution styles, toRGB styles)."""
        return [affine(w) for affine in self.conv], [affine(w) for affine in self.rgb]


class Layer(NamedLayer):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU, clamping. `noise` is the number of its noise."""

    def __init__(self, path: str, noise: int, r: int, into: int, out: int, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__(path, execution)
        up = config.fir if path.endswith("Conv0_up") else None
        self.conv = ModulatedConv2D(path, 3, into, out, execution, epsilon=config.demodulation_epsilon, up=up)
        if not config.equalized_convolutions:
            self.conv.coefficient = 1.0
        self.has_noise, self.clamp = config.has_noise, config.conv_clamp
        if config.has_noise:
            self.noise = tf.Variable(tf.zeros((1, 1, r, r), execution.dtype), trainable=False, name=f"{SYNTHESIS}/noise{noise}")
            self.noise_strength = self.variable("noise_strength", ())
        self.bias_act = BiasAct(path, "bias", out, execution, slope=config.leaky_slope, gain=config.gain)

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """(x [N, in, H, W], style [N, in]) to [N, out, r, r]."""
        x = self.conv(inputs)
        return clamped(self.bias_act(x + self.noise * self.noise_strength if self.has_noise else x), self.clamp)


class ToRGB(NamedLayer):
    """Modulated 1x1 convolution to the image's channels, without demodulation, and clamping."""

    def __init__(self, path: str, channels: int, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__(path, execution)
        self.conv = ModulatedConv2D(path, 1, channels, config.image_channels, execution, epsilon=None)
        self.bias_act, self.clamp = BiasAct(path, "bias", config.image_channels, execution), config.conv_clamp

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """(x [N, C, H, W], style [N, C]) to [N, 3, H, W]."""
        return clamped(self.bias_act(self.conv(inputs)), self.clamp)


class Synthesis(NamedLayer):
    """Styles to images, with skip connections between the toRGBs."""

    def __init__(self, config: StyleGAN2GeneratorConfig, execution: Execution) -> None:
        super().__init__(SYNTHESIS, execution)
        channels = channels_by_resolution(config.resolution, config.channels)
        self.taps = tuple(config.fir)
        self.const = self.variable("4x4/Const/const", (1, channels[4], 4, 4))
        layers, rgb = [], []
        for r, out in channels.items():
            scope, number = f"{SYNTHESIS}/{r}x{r}", 2 * int(math.log2(r))
            into = channels.get(r // 2, out)
            if r == 4:
                layers.append(Layer(f"{scope}/Conv", 0, 4, out, out, config, execution))
            else:
                layers.append(Layer(f"{scope}/Conv0_up", number - 5, r, into, out, config, execution))
                layers.append(Layer(f"{scope}/Conv1", number - 4, r, out, out, config, execution))
            rgb.append(ToRGB(f"{scope}/ToRGB", out, config, execution))
        self.layers, self.rgb = layers, rgb

    def call(self, given: tuple[list[Tensor], list[Tensor]], training: bool | None = None) -> Tensor:
        """(convolution styles, toRGB styles) to images [N, 3, R, R], unclipped."""
        conv, torgb = given
        x = self.layers[0]((tf.tile(self.const, [tf.shape(conv[0])[0], 1, 1, 1]), conv[0]))
        picture = self.rgb[0]((x, torgb[0]))
        for i in range(1, len(self.rgb)):
            for number in (2 * i - 1, 2 * i):
                x = self.layers[number]((x, conv[number]))
            picture = ops.upsample_image(picture, self.taps, cpu=self.execution.cpu) + self.rgb[i]((x, torgb[i]))
        return picture


class Discriminator(tf_keras.Model):
    """Images, or [images, classes], to one score."""

    def __init__(self, config: StyleGAN2DiscriminatorConfig, execution: Execution) -> None:
        super().__init__(name="stylegan2_discriminator", dtype=execution.dtype)
        channels = channels_by_resolution(config.resolution, config.channels)
        self.config_ = config
        top, c = config.resolution, channels[4]
        self.from_rgb = Convolution(f"{DISCRIMINATOR}/{top}x{top}/FromRGB", 1, config.image_channels, channels[top], config, execution)
        self.trunk = [Block(r, channels[r], channels[r // 2], config, execution) for r in sorted(channels, reverse=True)[:-1]]
        self.conv = Convolution(f"{DISCRIMINATOR}/4x4/Conv", 3, c + 1, c, config, execution)
        act: dict[str, Any] = {"slope": config.leaky_slope, "gain": config.gain}
        self.dense = EqualizedDense(f"{DISCRIMINATOR}/4x4/Dense0", "weight", 16 * c, config.hidden, execution)
        self.dense_bias = BiasAct(f"{DISCRIMINATOR}/4x4/Dense0", "bias", config.hidden, execution, **act)
        self.output_dense = EqualizedDense(f"{DISCRIMINATOR}/Output", "weight", config.hidden, config.outputs, execution)
        self.output_bias = BiasAct(f"{DISCRIMINATOR}/Output", "bias", config.outputs, execution)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """[N, 3, R, R], and [N, classes] where there are some, to [N, 1]."""
        config = self.config_
        images, classes = inputs if config.classes else (inputs, None)
        x = self.from_rgb(images)
        for block in self.trunk:
            x = block(x)
        x = self.conv(ops.minibatch_stddev(x, config.mbstd_group or _WHOLE_BATCH, config.mbstd_epsilon))
        x = self.dense_bias(self.dense(tf.reshape(x, [-1, x.shape[1] * 16])))
        scores = self.output_bias(self.output_dense(x))
        return scores if classes is None else tf.reduce_sum(scores * classes, axis=1, keepdims=True)


class Convolution(NamedLayer):
    """Convolution, halving where `down`, bias, leaky ReLU, clamping."""

    def __init__(
        self, path: str, kernel: int, into: int, out: int, config: StyleGAN2DiscriminatorConfig, execution: Execution, down: bool = False
    ) -> None:
        super().__init__(path, execution)
        self.conv = EqualizedConv2D(path, kernel, into, out, execution, down=config.fir if down else None)
        self.bias_act = BiasAct(path, "bias", out, execution, slope=config.leaky_slope, gain=config.gain)
        self.clamp = config.conv_clamp

    def call(self, x: Tensor) -> Tensor:
        """[N, in, H, W] to [N, out, H, W] or half of that."""
        return clamped(self.bias_act(self.conv(x)), self.clamp)


class Block(NamedLayer):
    """Two convolutions, the second at half the size, and a skip; the sum is scaled by 1 / sqrt(2)."""

    def __init__(self, r: int, into: int, out: int, config: StyleGAN2DiscriminatorConfig, execution: Execution) -> None:
        super().__init__(f"{DISCRIMINATOR}/{r}x{r}", execution)
        self.conv0 = Convolution(f"{self.path}/Conv0", 3, into, into, config, execution)
        self.conv1 = Convolution(f"{self.path}/Conv1_down", 3, into, out, config, execution, down=True)
        self.skip = EqualizedConv2D(f"{self.path}/Skip", 1, into, out, execution, down=config.fir)
        self.scale = config.residual_scale

    def call(self, x: Tensor) -> Tensor:
        """[N, in, H, W] to [N, out, H/2, W/2]."""
        return (self.conv1(self.conv0(x)) + self.skip(x)) * self.scale


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """`x` with magnitudes of at most `limit`."""
    return x if limit is None else tf.minimum(tf.maximum(x, -limit), limit)


def _generator_outputs(network: Any, given: Named[str, Array]) -> dict[str, Array]:
    z = tf.constant(given["z"], network.dtype)
    w = network.g_mapping([z, tf.constant(given["classes"], network.dtype)] if "classes" in given else z).numpy()
    conv, rgb = styles(network, w)
    found = {"conv_styles": np.concatenate(conv, axis=1), "torgb_styles": np.concatenate(rgb, axis=1)}
    return {"w": w, **found, "image": image(network, conv, rgb)}


def _score(network: Any, given: Named[str, Array]) -> dict[str, Array]:
    tensors = [tf.constant(given[name], network.dtype) for name in ("image", "classes") if name in given]
    return {"score": network(tensors if len(tensors) > 1 else tensors[0]).numpy()}


def _classes(config: StyleGAN2GeneratorConfig | StyleGAN2DiscriminatorConfig) -> dict[str, tuple[int, ...]]:
    return {"classes": (config.classes,)} if config.classes else {}


GENERATOR_REFERENCE = Reference(Generator, _generator_outputs, lambda config: {"z": (config.z,), **_classes(config)})
DISCRIMINATOR_REFERENCE = Reference(
    Discriminator, _score, lambda config: {"images": (config.image_channels, config.resolution, config.resolution), **_classes(config)}
)
