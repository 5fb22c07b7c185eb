"""Generator, encoder and discriminator as another author would have released them.

Written from the release's variable names and the StyleGAN2 paper alone, and as unlike `reference_tf` as these allow: functions of
variables instead of Keras layers, in two hands that differ in all that the format leaves open. The graphs are channels first, so that
they are traced and saved here and never run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.reference_tf.record.another_arithmetic import Hand, Variables, bias_act, dense, downscaled, filtered, modulated

Tensor = Any


@dataclass(frozen=True)
class Sizes:
    """Channels at 4, 8, ... `resolution`; lengths of z, w, labels, and of what the critics' last dense layer takes."""

    resolution: int = 16
    channels: tuple[int, ...] = (7, 5, 3)
    z: int = 9
    latent: int = 6
    labels: int = 3
    hidden: int = 11
    mapping_layers: int = 3
    multiplier: float = 0.01

    @property
    def at(self) -> dict[int, int]:
        """Resolution -> channels."""
        return {4 * 2**i: c for i, c in enumerate(self.channels)}


class Part(tf.Module):
    """What a user calls: a function, traced for one signature."""

    def __init__(self, variables: Variables, function: Callable[..., Any], signature: Any) -> None:
        super().__init__()
        self.variables_behind = variables
        self._function = function
        self.__call__.get_concrete_function(signature, training=False)

    @tf.function
    def __call__(self, given: Any, training: bool = False) -> Any:
        """What the function gives, in inference and in training alike."""
        return self._function(given)


def save(folder: Path, sizes: Sizes, hand: Hand, seed: int = 1) -> Path:
    """The three networks under the bucket's names, as folders."""
    spec = partial(tf.TensorSpec, dtype=tf.float32)
    images, labels = spec([None, 3, sizes.resolution, sizes.resolution]), spec([None, sizes.labels])
    tf.saved_model.save(_generator(sizes, hand, seed), str(folder / "generator.savedmodel"))
    encoder, discriminator = Variables(seed + 1), Variables(seed + 2)
    encoding = Part(encoder, lambda image: encode(encoder, sizes, hand, image), images)
    tf.saved_model.save(encoding, str(folder / "encoder.savedmodel"))
    judging = Part(discriminator, lambda pair: judge(discriminator, sizes, hand, *pair), [images, labels])
    tf.saved_model.save(judging, str(folder / "discriminator.savedmodel"))
    return folder


def _generator(sizes: Sizes, hand: Hand, seed: int) -> Part:
    spec, variables = partial(tf.TensorSpec, dtype=tf.float32), Variables(seed)
    z, labels, dlatent = spec([None, sizes.z]), spec([None, sizes.labels]), spec([None, sizes.latent + sizes.labels])
    wide = list(sizes.channels)
    styles = (
        [spec([None, c]) for c in [wide[0], *(c for pair in pairwise(wide) for c in pair)]],
        [spec([None, c]) for c in wide],
    )

    def mapping(z: Tensor) -> Tensor:
        return map_z(variables, sizes, hand, z)

    def calculate(dlatent: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        return make_styles(variables, sizes, hand, dlatent)

    def synthesise(styles: tuple[list[Tensor], list[Tensor]]) -> Tensor:
        return draw(variables, sizes, hand, *styles)

    whole = Part(variables, lambda given: synthesise(calculate(tf.concat([mapping(given[0]), given[1]], 1))), [z, labels])
    variables.get("dlatent_avg", sizes.latent)
    parts = {"g_mapping": (mapping, z), "style_vector_calculator": (calculate, dlatent), "g_synthesis": (synthesise, styles)}
    for name in hand.members:
        setattr(whole, name, Part(variables, *parts[name]))
    return whole


def map_z(variables: Variables, sizes: Sizes, hand: Hand, x: Tensor) -> Tensor:
    """From z [N, z] to w [N, latent]."""
    if hand.fused:
        x *= tf.math.rsqrt(tf.reduce_mean(x**2, axis=1, keepdims=True) + hand.epsilon)
    else:
        x = x / tf.sqrt(hand.epsilon + tf.reduce_sum(tf.square(x), axis=-1, keepdims=True) / sizes.z)
    for i in range(sizes.mapping_layers):
        scope, c = "generator/generator_mapping", sizes.latent
        weight = variables.get(f"{scope}/Dense{i}/MappingDense_{i}", x.shape[1], c, std=1 / sizes.multiplier)
        bias = variables.get(f"{scope}/DenseBiasAct{i}/MappingBias_{i}", c, std=0.3 / sizes.multiplier)
        x = bias_act(dense(x, weight, hand, sizes.multiplier), bias * sizes.multiplier, hand)
    return x


def make_styles(variables: Variables, sizes: Sizes, hand: Hand, dlatent: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """From dlatent [N, latent + labels] to the styles of convolutions and of toRGBs, two lists of [N, C]."""

    def affine(name: str, size: int) -> Tensor:
        scope = f"generator_style_calculator/{name}"
        weight = variables.get(f"{scope}/StyleGAN2Dense/weight", dlatent.shape[1], size)
        bias = variables.get(f"{scope}/FusedBiasActivation/bias", *((1, size) if hand.fused else (size,)), std=0.3)
        if hand.fused:
            return dense(dlatent, weight, hand) + bias + 1
        return dense(dlatent, weight, hand) + (bias + 1.0)

    c = sizes.channels
    conv, rgb = [affine("StyleVectorConst", c[0])], [affine("StyleVectorConstRGB", c[0])]
    for k in range(len(c) - 1):
        conv += [affine(f"StyleVector{k}_0", c[k]), affine(f"StyleVector{k}_1", c[k + 1])]
        rgb.append(affine(f"StyleVectorRGB{k}", c[k + 1]))
    return conv, rgb


def draw(variables: Variables, sizes: Sizes, hand: Hand, conv: list[Tensor], rgb: list[Tensor]) -> Tensor:
    """Styles to images [N, 3, R, R]."""
    top, styles = "generator_synthesis", iter(conv)

    def layer(x: Tensor, scope: str, number: int, size: int, out: int, up: bool = False) -> Tensor:
        weight = variables.get(f"{top}/{scope}/ModulatedConv2D/weight", 3, 3, x.shape[1], out)
        strength = variables.get(f"{top}/{scope}/NoiseStrength", std=0.3)
        bias = variables.get(f"{top}/{scope}/FusedBiasAct/BiasAct", out, std=0.3)
        x = modulated(x, weight, next(styles), hand, up=up)
        x += variables.get(f"Noise{number}", 1, 1, size, size) * strength
        return bias_act(tf.ensure_shape(x, [None, out, size, size]), bias, hand)

    def to_rgb(x: Tensor, size: int, style: Tensor) -> Tensor:
        scope = f"{top}/ToRGB{size}x{size}"
        weight = variables.get(f"{scope}/ModulatedConv2D/weight", 1, 1, x.shape[1], 3, std=0.4)
        y = tf.ensure_shape(modulated(x, weight, style, hand, demodulate=False), [None, 3, size, size])
        return bias_act(y, variables.get(f"{scope}/FusedBiasActivation/ToRGBBiasAct", 3, std=0.2), hand, act=False)

    const = variables.get(f"{top}/ConstBlock4x4/Const4x4", 1, sizes.channels[0], 4, 4)
    count = tf.shape(conv[0])[0]
    x = tf.tile(const, [count, 1, 1, 1]) if hand.fused else const * tf.ones([count, 1, 1, 1])
    x = layer(x, "ConstBlock4x4/GeneratorLayer4x4", 0, 4, sizes.channels[0])
    image = to_rgb(x, 4, rgb[0])
    for i, (size, out) in enumerate(list(sizes.at.items())[1:]):
        k = int(math.log2(size))
        x = layer(x, f"GeneratorBlock{size}x{size}/Conv0Up", 2 * k - 5, size, out, up=True)
        x = layer(x, f"GeneratorBlock{size}x{size}/Conv1", 2 * k - 4, size, out)
        image = filtered(image, (2, 1), up=2, gain=4, hand=hand)
        y = to_rgb(x, size, rgb[i + 1])
        image = image + y if hand.fused else tf.add_n([y, image])
    return image


def _trunk(variables: Variables, sizes: Sizes, hand: Hand, x: Tensor, scope: str, kind: str) -> Tensor:
    """[N, 3, R, R] to [N, C, 4, 4]: residual blocks, each of half the size."""

    def conv(x: Tensor, name: str, bias: str | None, kernel: int, out: int, down: bool = False) -> Tensor:
        weight = variables.get(f"{scope}/{name}", kernel, kernel, x.shape[1], out)
        y = downscaled(x, weight, hand, down)
        return bias_act(y, variables.get(f"{scope}/{bias}", out, std=0.3), hand) if bias else y

    at, size = sizes.at, sizes.resolution
    rgb = f"{kind}FromRGB{size}x{size}"
    x = conv(x, f"{rgb}/StyleGAN2Conv2D/weight", f"{rgb}/FusedBiasActivation/FromRGBBias", 1, at[size])
    while size > 4:
        block = f"{kind or 'Discriminator'}Block{size}x{size}"
        y = conv(x, f"{block}/Conv0/weight", f"{block}/Conv0Bias/BiasAct0", 3, at[size])
        y = conv(y, f"{block}/Conv1Down/weight", f"{block}/Conv1DownBiasAct/BiasAct1", 3, at[size // 2], down=True)
        skip = conv(x, f"{block}/Skip/weight", None, 1, at[size // 2], down=True)
        x = y * hand.residual + skip * hand.residual if hand.residual_first else (y + skip) / (1 / hand.residual)
        size //= 2
    return x


def _head(variables: Variables, sizes: Sizes, hand: Hand, x: Tensor, scope: str, kind: str, last: str, out: int) -> Tensor:
    """[N, C, 4, 4] to [N, out]: a convolution and two dense layers."""
    c = sizes.channels[0]
    y = downscaled(x, variables.get(f"{scope}/Conv4x4/weight", 3, 3, x.shape[1], c), hand)
    y = bias_act(y, variables.get(f"{scope}/{kind}ConvBiasAct4x4/ConvBiasAct4x4", c, std=0.3), hand)
    y = tf.reshape(y, [-1, 16 * c])
    y = dense(y, variables.get(f"{scope}/{kind}Dense4x4/weight", 16 * c, sizes.hidden), hand)
    y = bias_act(y, variables.get(f"{scope}/{kind}DenseBiasAct4x4/DenseBiasAct4x4", sizes.hidden, std=0.3), hand)
    y = dense(y, variables.get(f"{scope}/{last}/weight", sizes.hidden, out), hand)
    return bias_act(y, variables.get(f"{scope}/{kind}OutputBiasAct/OutputBiasAct", out, std=0.3), hand, act=False)


def encode(variables: Variables, sizes: Sizes, hand: Hand, image: Tensor) -> Tensor:
    """[N, 3, R, R] to w [N, latent]."""
    x = _trunk(variables, sizes, hand, image, "encoder", "Encoder")
    return _head(variables, sizes, hand, x, "encoder", "Encoder", "style_gan2_dense", sizes.latent)


def judge(variables: Variables, sizes: Sizes, hand: Hand, image: Tensor, labels: Tensor) -> Tensor:
    """Images and label probabilities to scores [N, 1]."""
    x = _trunk(variables, sizes, hand, image, "discriminator_1", "")
    n, c = tf.shape(x)[0], x.shape[1]
    group = tf.minimum(n, hand.group)
    if hand.fused:
        y = tf.reshape(x, [group, -1, c, 4, 4])
        y -= tf.reduce_mean(y, axis=0, keepdims=True)
        y = tf.sqrt(tf.reduce_mean(tf.square(y), axis=0) + hand.epsilon)
        y = tf.tile(tf.reduce_mean(y, axis=[1, 2, 3], keepdims=True), [group, 1, 4, 4])
    else:
        y = tf.math.reduce_variance(tf.reshape(x, [group, n // group, 16 * c]), axis=0)
        y = tf.reduce_sum(tf.pow(y + hand.epsilon, 0.5), axis=1) / (16 * c)
        y = tf.tile(y, [group])[:, None, None, None] * tf.ones([1, 1, 4, 4])
    y = _head(variables, sizes, hand, tf.concat([x, y], 1), "discriminator_1", "", "style_gan2_dense_4", sizes.labels)
    return tf.reduce_sum(y * labels, axis=1, keepdims=True) if hand.fused else tf.einsum("nl,nl->n", y, labels)[:, None]
