"""What a fault does to a layer: the changes that `stylexport.parity.selftest.injections`, and tests, make to copies of a port."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stylexport.torch_models.layers.modulated_conv import modulated_pointwise
from stylexport.torch_models.layers.resampling import conv_transpose_up
from stylexport.torch_models.layers.same_padding import conv2d_same

Change = Callable[[Any], None]


def tensor(name: str, new: Callable[[Tensor], Tensor]) -> Change:
    """The tensor `name` of a layer replaced by what `new` makes of it."""

    def change(layer: Any) -> None:
        value = getattr(layer, name)
        value.copy_(new(value.clone()))

    return change


def attribute(name: str, value: Any) -> Change:
    """An attribute of a layer set."""
    return lambda layer: setattr(layer, name, value)


def together(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def change(layer: Any) -> None:
        for one in changes:
            one(layer)

    return change


def swap(first: str, second: str) -> Change:
    """Two tensors of a layer swapped."""

    def change(layer: Any) -> None:
        a, b = getattr(layer, first).clone(), getattr(layer, second).clone()
        getattr(layer, first).copy_(b)
        getattr(layer, second).copy_(a)

    return change


def activation(**values: float) -> Change:
    """Other constants in a layer's leaky ReLU."""
    return lambda layer: setattr(layer, "activation", dataclasses.replace(layer.activation, **values))


def at(layer: str, change: Change) -> Change:
    """A change of the layer of that name in a network."""
    return lambda network: change(network.get_submodule(layer))


def around(forward: Callable[..., Tensor]) -> Change:
    """Other code around a layer's forward: `forward` is given the layer's own, then its arguments."""

    def change(layer: Any) -> None:
        own = layer.forward
        layer.forward = lambda *args, **kwargs: forward(own, *args, **kwargs)

    return change


def code(forward: Callable[..., Tensor]) -> Change:
    """The layer's own forward replaced: a fault that no weight and no attribute shows."""
    return lambda layer: setattr(layer, "forward", types.MethodType(forward, layer))


def config(**values: Any) -> Change:
    """Other values in the network's configuration."""
    return lambda network: setattr(network, "config", dataclasses.replace(network.config, **values))


def element(value: Tensor) -> Tensor:
    """One number of a tensor, off its middle, with the other sign and half as much again (a bit of mantissa and the sign)."""
    flat = value.reshape(-1)
    index = (2 * len(flat)) // 3
    flat[index] = -1.5 * flat[index] - 0.1
    return flat.reshape(value.shape)


def without_demodulation(layer: Any, x: Tensor, style: Tensor, noise: Any = "const") -> Tensor:
    """A synthesis layer that scales its input by the style and never brings the output back."""
    gain = layer.activation.gain
    weight = layer.weight.to(x.dtype) * (gain / layer.weight[0].numel() ** 0.5 if layer.equalized else gain)
    scaled = x * style[:, :, None, None]
    y = conv_transpose_up(scaled, weight, layer.fir) if layer.fir else conv2d_same(scaled, weight)
    added = (layer.noise_const * layer.noise_strength * gain).to(y.dtype) if layer.has_noise else 0.0
    y = y + added + (layer.bias * gain).to(y.dtype)[:, None, None]
    activated: Tensor = layer.activation(y)
    return activated


def without_noise(layer: Any, x: Tensor, style: Tensor, noise: Any = "const") -> Tensor:
    """A synthesis layer that leaves the noise out."""
    image: Tensor = type(layer).forward(layer, x, style, "none")
    return image


def demodulated_rgb(layer: Any, x: Tensor, style: Tensor) -> Tensor:
    """A toRGB whose weights are demodulated as those of the other layers."""
    y = modulated_pointwise(x, layer.weight, style)
    power = (layer.weight.to(style.dtype)[:, :, 0, 0].square() @ style.square().t()).t() / layer.weight.shape[1]
    image: Tensor = y * torch.rsqrt(power + 1e-8)[:, :, None, None] + layer.bias.to(y.dtype)[:, None, None]
    return image if layer.clamp is None else image.clamp(-layer.clamp, layer.clamp)


def neighbours_grouped(layer: Any, x: Tensor) -> Tensor:
    """Neighbours in a group instead of samples N / G apart."""
    group = layer.size(len(x))
    y = x.unflatten(0, (-1, group))
    deviation = (y.var(1, unbiased=False) + layer.epsilon).sqrt().mean((1, 2, 3))
    channel = deviation.repeat_interleave(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel], 1)
