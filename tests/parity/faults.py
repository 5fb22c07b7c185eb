"""What may be done to a network for a test: each function gives a change that `broken.suspect` makes to a copy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stylexport.parity.explain import formulas
from stylexport.torch_models.layers.resampling import Fir

Fault = Callable[[Any], object]


def turned(name: str, turn: Callable[[Tensor], Tensor]) -> Fault:
    """A tensor replaced by what `turn` makes of it."""

    def change(net: Any) -> None:
        tensor = net.state_dict()[name]
        tensor.copy_(turn(tensor.clone()))

    return change


def swapped(first: str, second: str) -> Fault:
    """Two tensors in each other's place."""

    def change(net: Any) -> None:
        one, other = net.state_dict()[first], net.state_dict()[second]
        kept = one.clone()
        one.copy_(other)
        other.copy_(kept)

    return change


def put(layer: str, name: str, value: Any) -> Fault:
    """An attribute of a layer set."""
    return lambda net: setattr(net.get_submodule(layer), name, value)


def activated(layer: str, **constants: float) -> Fault:
    """Other constants in a layer's leaky ReLU."""
    return lambda net: setattr(net.get_submodule(layer), "activation", replace(net.get_submodule(layer).activation, **constants))


def coded(layer: str, forward: Callable[..., Tensor]) -> Fault:
    """Another forward, which is given the layer's own and its arguments."""

    def change(net: Any) -> None:
        module = net.get_submodule(layer)
        own = module.forward
        module.forward = lambda *args, **kwargs: forward(own, *args, **kwargs)

    return change


def filtered(layer: str, name: str, *taps: float, axis_gain: float = 1.0) -> Fault:
    """Another filter in a layer."""
    return lambda net: setattr(net.get_submodule(layer), name, Fir(taps, axis_gain).double())


def both(*faults: Fault) -> Fault:
    """Several faults in one network."""
    return lambda net: [fault(net) for fault in faults]


def zero(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor)


def one_element(tensor: Tensor) -> Tensor:
    """The eighth number of a tensor, 0.3 too large."""
    tensor.view(-1)[7] += 0.3
    return tensor


def not_a_number(tensor: Tensor) -> Tensor:
    tensor.view(-1)[3] = float("nan")
    return tensor


def without_demodulation(layer: str) -> Fault:
    """A synthesis layer whose code never demodulates."""

    def change(net: Any) -> None:
        m = net.get_submodule(layer)

        def forward(x: Tensor, style: Tensor, noise: Any = "const") -> Tensor:
            return formulas.modulated(
                x=x,
                style=style,
                weight=m.weight,
                coefficient=m.weight[0].numel() ** -0.5,
                epsilon=None,
                taps=(1.0, 3.0, 3.0, 1.0) if m.fir else None,
                axis_gain=2.0,
                shift=0,
                pads=(1, 1, 1, 1),
                noise=m.noise_const,
                strength=m.noise_strength,
                bias=m.bias,
                slope=m.activation.slope,
                gain=m.activation.gain,
            )

        m.forward = forward

    return change
