"""Activations by the name that a TensorFlow graph or a Keras layer gives them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "linear": lambda _: nn.Identity(),
    "relu": lambda _: nn.ReLU(),
    "relu6": lambda _: nn.ReLU6(),
    "leaky_relu": nn.LeakyReLU,
    "elu": lambda _: nn.ELU(),
    "selu": lambda _: nn.SELU(),
    "gelu": lambda _: nn.GELU(),
    "silu": lambda _: nn.SiLU(),
    "swish": lambda _: nn.SiLU(),
    # x relu6(x + 3) / 6 in both frameworks; hard_sigmoid is left out, because Keras 2 and 3 mean different functions by it.
    "hard_swish": lambda _: nn.Hardswish(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "softplus": lambda _: nn.Softplus(),
    "tanh": lambda _: nn.Tanh(),
}


def activation(name: str, slope: float = 0.0) -> nn.Module:
    """The module of an activation; `slope` is leaky_relu's. Raises ValueError for an unknown name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name](slope)
