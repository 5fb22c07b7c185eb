"""The networks composed of the proof's plain formulas, which are written from the papers and share nothing with `torch_models`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.parity.explain import formulas
from stylexport.parity.explain.formulas import insert_zeros
from stylexport.torch_models.config import DiscriminatorConfig, EncoderConfig, GeneratorConfig, MobileNetV1Config, mobilenet_layers

TAPS = (1.0, 3.0, 3.0, 1.0)
GENERATOR = GeneratorConfig(16, channels=(7, 6, 5), latent=8, labels=2, z=9, mapping_layers=3)
ENCODER = EncoderConfig(16, channels=(7, 6, 5), hidden=10, latent=8)
DISCRIMINATOR = DiscriminatorConfig(16, channels=(7, 6, 5), hidden=10, labels=3)
MOBILENET = MobileNetV1Config(mobilenet_layers(width=0.1)[:7], labels=3, resolution=32, image_scale=1.25, image_shift=0.5)


def fill(module: nn.Module, seed: int = 1) -> nn.Module:
    """Give every parameter and buffer values that no symmetry hides, biases and noise strengths too; variances are positive."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            values = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
            if name.endswith("running_var") or name.endswith("bn.weight"):
                values = values.abs() + 0.3
            if name.startswith("mapping") and name.endswith(("weight", "bias")):
                values = values * 100  # what a learning-rate multiplier of 0.01 asks for
            tensor.copy_(values + (0.1 if name.endswith("strength") else 0.0))
    return module


def smooth(x: Tensor, taps: Sequence[float], before: int, after: int, axis_gain: float) -> Tensor:
    """`x` [N, C, H, W] filtered by the taps, after so many zeros before and behind it on both axes."""
    total = before + after
    return formulas.filtered(x, taps, axis_gain, total, shift=total - total // 2 - before)


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 times sqrt(2)."""
    return formulas.leaky(x, 0.2, math.sqrt(2))


def modulated(x: Tensor, weight: Tensor, style: Tensor, up: bool = False, demodulate: bool = True) -> Tensor:
    """Equations 1 to 3 of StyleGAN2 with a weight copy a sample, without noise, bias and activation."""
    return formulas.modulated(
        x=x,
        style=style,
        weight=weight,
        coefficient=1 / math.sqrt(weight[0].numel()),
        epsilon=1e-8 if demodulate else None,
        taps=TAPS if up else None,
        axis_gain=2.0,
        shift=0,
        pads=(weight.shape[2] // 2,) * 4,
        noise=None,
        strength=0.0,
        bias=weight.new_zeros(len(weight)),
        slope=1.0,
        gain=1.0,
    )


def dense(x: Tensor, state: Mapping[str, Tensor], name: str, multiplier: float = 1.0) -> Tensor:
    """The product x W^T c, plus m b."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    coefficient = 1 / math.sqrt(weight.shape[1])
    return formulas.dense(x=x, weight=weight, bias=bias, coefficient=coefficient, lr_multiplier=multiplier, slope=1.0, gain=1.0, plus=0.0)


def generator(state: Mapping[str, Tensor], dlatent: Tensor) -> Tensor:
    """The generator with its constant noise."""

    def style(name: str) -> Tensor:
        return dense(dlatent, state, f"style_vectors.{name}") + 1

    def layer(x: Tensor, name: str, up: bool) -> Tensor:
        own = {k: state[f"synthesis.{name}.{k}"] for k in ("weight", "bias", "noise_strength", "noise_const")}
        y = modulated(x, own["weight"], style(name), up)
        return lrelu(y + own["noise_strength"] * own["noise_const"] + own["bias"][:, None, None])

    def torgb(x: Tensor, name: str) -> Tensor:
        y = modulated(x, state[f"synthesis.{name}.weight"], style(name), demodulate=False)
        return y + state[f"synthesis.{name}.bias"][:, None, None]

    x = layer(state["synthesis.b4.const"].expand(len(dlatent), -1, -1, -1), "b4.conv1", up=False)
    image = torgb(x, "b4.torgb")
    r = 8
    while f"synthesis.b{r}.conv0.weight" in state:
        x = layer(layer(x, f"b{r}.conv0", up=True), f"b{r}.conv1", up=False)
        image = smooth(insert_zeros(image), TAPS, 2, 1, 2.0) + torgb(x, f"b{r}.torgb")
        r *= 2
    return image


def conv(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolution with the equalised learning rate."""
    return F.conv2d(x, weight / math.sqrt(weight[0].numel()), stride=stride, padding=padding)


def trunk(state: Mapping[str, Tensor], x: Tensor, group: int | None = None) -> Tensor:
    """Encoder (no group) or discriminator, up to and with the last dense."""

    def bias(name: str) -> Tensor:
        return state[f"{name}.bias"][:, None, None]

    r = x.shape[-1]
    x = lrelu(conv(x, state[f"b{r}.fromrgb.weight"]) + bias(f"b{r}.fromrgb"))
    while r > 4:
        t = lrelu(conv(x, state[f"b{r}.conv0.weight"], padding=1) + bias(f"b{r}.conv0"))
        t = lrelu(conv(smooth(t, TAPS, 2, 2, 1.0), state[f"b{r}.conv1.weight"], stride=2) + bias(f"b{r}.conv1"))
        x = (conv(smooth(x, TAPS, 1, 1, 1.0), state[f"b{r}.skip.weight"], stride=2) + t) / math.sqrt(2)
        r //= 2
    if group is not None:
        x = minibatch_std(x, group)
    x = lrelu(conv(x, state["b4.conv.weight"], padding=1) + bias("b4.conv"))
    return dense(lrelu(dense(x.flatten(1), state, "b4.fc")), state, "b4.out")


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """One channel more: how much the samples of a group, which stand N / G apart, differ."""
    return formulas.minibatch_std(x=x, group=group, epsilon=1e-8)
