"""Random weights that keep signals near 1 and are nowhere symmetric, zero or at a default."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.converter.mapping.recognise import table
from stylexport.torch_models.config import MobileNetV1Config

Arrays = dict[str, NDArray[np.float32]]


def draw(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A value for the variable called `name`, by the last part of its name."""
    tail = name.rsplit("/", 1)[-1].removesuffix(":0")
    if tail in ("gamma", "moving_variance"):
        value = rng.uniform(0.6, 1.5, shape)
    elif tail in ("beta", "moving_mean", "bias", "biases"):
        value = 0.3 * rng.standard_normal(shape)
    else:
        inputs = shape[:2] if "depthwise" in name or "conv_dw" in name else shape[:-1]
        value = np.sqrt(2 / np.prod(inputs)) * rng.standard_normal(shape)
    return value.astype(np.float32)


def randomise(variables: Iterable[Any], seed: int = 7) -> None:
    """Assign random values to a Keras model's (2 or 3) or a module's variables."""
    rng = np.random.default_rng(seed)
    for variable in variables:
        name = getattr(variable, "path", variable.name)
        variable.assign(draw(name, tuple(variable.shape), rng))


def keras_weights(config: MobileNetV1Config) -> Arrays:
    """The variables of a MobileNetV1 under the names that Keras gives by itself: conv2d, depthwise_conv2d, conv2d_1 ..."""
    rng = np.random.default_rng(2)
    arrays = {}
    for rule in table(config):
        shape = rule.shape
        if "depthwise" in rule.tf:
            shape = (*shape[2:], shape[0], 1)
        elif len(shape) == 4:
            shape = (*shape[2:], shape[1], shape[0])
        arrays[rule.tf] = draw(rule.tf, shape, rng)
    return arrays
