"""Faults to put into a copy of a port, one at a time: each must be detected, located and named.

Each row of the tables is a mistake that ports of such networks have had: the cause's identifier, the layers it is tried at (the first, a
middle and the last that it applies to), and what it does to a layer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stylexport.parity.selftest.changes import (
    Change,
    activation,
    at,
    attribute,
    code,
    config,
    demodulated_rgb,
    element,
    neighbours_grouped,
    swap,
    tensor,
    together,
    without_demodulation,
    without_noise,
)
from stylexport.torch_models.kinds import kind_of
from stylexport.torch_models.layers.equalized import Conv, Dense
from stylexport.torch_models.layers.mbstd import MinibatchStd
from stylexport.torch_models.layers.resampling import Fir
from stylexport.torch_models.layers.synthesis import SynthesisBlock, SynthesisLayer, ToRGB
from stylexport.torch_models.mobilenet import BatchNorm, ConvUnit, PaddedConv
from stylexport.torch_models.pretrained import PretrainedNetwork
from stylexport.torch_models.residual import ResidualBlock


@dataclass(frozen=True)
class Injection:
    """One fault: in which layer of which network, under which name it should be found, and what was done."""

    network: str
    layer: str
    cause: str
    what: str
    change: Change

    def into(self, module: nn.Module) -> nn.Module:
        """A copy of the network with the fault in it."""
        changed = copy.deepcopy(module)
        with torch.no_grad():
            self.change(changed)
        return changed


@dataclass(frozen=True)
class Row:
    """A kind of fault: the layers it applies to (by module class and a condition), and the change to such a layer."""

    cause: str
    what: str
    kind: type[nn.Module] | tuple[type[nn.Module], ...]
    change: Change
    where: Callable[[str, Any], bool] = lambda name, layer: True
    layer: Callable[[str], str] = lambda name: name


def injections(network: str, module: nn.Module) -> Iterator[Injection]:
    """Every fault that applies to this network, at its first, a middle and its last layer of each kind."""
    labelled = getattr(getattr(module, "config", None), "labels", None) != 0  # StyleGAN2 has no label probabilities
    for row in (*LAYERS, *LABELS) if labelled else LAYERS:
        places = [name for name, part in module.named_modules() if isinstance(part, row.kind) and row.where(name, part)]
        for name in dict.fromkeys(places[i] for i in (0, len(places) // 2, -1) if places):
            yield Injection(network, row.layer(name), row.cause, row.what, at(name, row.change))
    kind = kind_of(module.config) if isinstance(module, PretrainedNetwork) else None
    for cause, layer, what, change in kind.faults.load() if kind and kind.faults else ():
        yield Injection(network, layer, cause, what, change)


def _square(name: str, layer: Any) -> bool:
    return layer.weight.shape[0] == layer.weight.shape[1]


def _wide(name: str, layer: Any) -> bool:
    """Whether the kernel is larger than 1x1, so that flipping or transposing changes it."""
    return layer.weight.ndim == 4 and layer.weight.shape[2] > 1


def _both(name: str, layer: Any) -> bool:
    return _wide(name, layer) and _square(name, layer)


def _biased(name: str, layer: Any) -> bool:
    return layer.bias is not None and bool(layer.bias.any())


def _active(name: str, layer: Any) -> bool:
    return layer.activation is not None


def _filtered(name: str, layer: Any) -> bool:
    return layer.fir is not None


def _noisy(name: str, layer: Any) -> bool:
    return layer.has_noise and bool(layer.noise_strength)


def _is_style(name: str) -> bool:
    return name.startswith("style_vectors.")


KERNELS = (SynthesisLayer, Conv, PaddedConv)
BIASED = (SynthesisLayer, ToRGB, Conv, Dense, PaddedConv)
OTHER_FILTER = (1.0, 2.0, 4.0, 1.0)
BOTH_FLIPPED = together(tensor("weight", lambda w: w.flip(0)), tensor("bias", lambda b: b.flip(0)))

LAYERS = (
    Row("kernel_flipped", "kernel flipped", KERNELS, tensor("weight", lambda w: w.flip(2, 3)), _wide),
    Row("kernel_transposed_hw", "height and width swapped", KERNELS, tensor("weight", lambda w: w.transpose(2, 3)), _wide),
    Row("in_out_swapped", "inputs and outputs swapped", (SynthesisLayer, Conv), tensor("weight", lambda w: w.transpose(0, 1)), _both),
    Row("in_out_swapped", "dense weight not transposed", Dense, tensor("weight", lambda w: w.t()), _square),
    Row("padding", "PyTorch's symmetric padding", PaddedConv, attribute("padding", (1, 1, 1, 1)), lambda n, m: m.stride == (2, 2)),
    Row("bn_epsilon", "PyTorch's epsilon", BatchNorm, attribute("epsilon", 1e-5)),
    Row("bn_moments_swapped", "mean and variance swapped", BatchNorm, swap("running_mean", "running_var")),
    Row("bn_affine_swapped", "gamma and beta swapped", BatchNorm, swap("weight", "bias")),
    Row("activation", "no activation", ConvUnit, attribute("act", nn.Identity()), layer=lambda n: f"{n}.act"),
    Row("activation", "SiLU", ConvUnit, attribute("act", nn.SiLU()), layer=lambda n: f"{n}.act"),
    Row("leaky_slope", "PyTorch's slope", (SynthesisLayer, Conv, Dense), activation(slope=0.01), _active),
    Row("gain", "no gain behind the activation", (SynthesisLayer, Conv, Dense), activation(gain=1.0), _active),
    Row("bias_missing", "no bias", BIASED, tensor("bias", torch.zeros_like), _biased),
    Row("style_plus_one_missing", "style without one", Dense, tensor("bias", lambda b: b - 1), lambda n, m: _is_style(n)),
    Row("noise", "noise strength zero", SynthesisLayer, tensor("noise_strength", torch.zeros_like), _noisy),
    Row("noise", "noise image transposed", SynthesisLayer, tensor("noise_const", lambda x: x.t()), _noisy),
    Row("noise", "noise never added", SynthesisLayer, code(without_noise), _noisy),
    Row("fir_filter", "other filter", SynthesisLayer, lambda m: setattr(m, "fir", Fir(OTHER_FILTER, 2.0)), _filtered),
    Row("fir_filter", "filter without its gain", SynthesisLayer, lambda m: setattr(m, "fir", Fir(m.fir.taps)), _filtered),
    Row("fir_filter", "other filter", Conv, lambda m: setattr(m, "fir", Fir(OTHER_FILTER)), _filtered),
    Row("fir_filter", "image doubled by another filter", SynthesisBlock, lambda m: setattr(m, "upsample", Fir(OTHER_FILTER, 2.0)),
        lambda n, m: m.resolution > 4),
    Row("residual_scale", "sum not scaled", ResidualBlock, attribute("residual_scale", 1.0)),
    Row("demodulation", "epsilon 0.01", SynthesisLayer, attribute("epsilon", 1e-2)),
    Row("demodulation", "no demodulation", SynthesisLayer, code(without_demodulation)),
    Row("demodulation", "toRGB demodulated", ToRGB, code(demodulated_rgb)),
    Row("lr_multiplier", "multiplier left out", Dense, attribute("lr_multiplier", 1.0), lambda n, m: m.lr_multiplier != 1),
    Row("mbstd", "groups of two", MinibatchStd, attribute("group", 2)),
    Row("mbstd", "epsilon 0.001", MinibatchStd, attribute("epsilon", 1e-3)),
    Row("mbstd", "neighbours grouped", MinibatchStd, code(neighbours_grouped), lambda n, m: m.group),
    Row("weight_value", "one element wrong", BIASED, tensor("weight", element)),
    Row("weight_value", "one bias wrong", BIASED, tensor("bias", element), lambda n, m: m.bias is not None),
    Row("weight_value", "one moment wrong", BatchNorm, tensor("running_mean", element)),
    Row("channel_order", "RGB reversed on the way in", (Conv, PaddedConv), tensor("weight", lambda w: w.flip(1)),
        lambda n, m: n.endswith("fromrgb") or n == "conv0.conv"),
    Row("channel_order", "RGB reversed on the way out", ToRGB, BOTH_FLIPPED),
)  # fmt: skip
LABELS = (
    Row("label_order", "logits in another order", PaddedConv, BOTH_FLIPPED, lambda n, m: n == "head"),
    Row("label_order", "one score a label, in another order", Dense, BOTH_FLIPPED, lambda n, m: n == "b4.out" and m.weight.shape[0] == 2),
    Row("label_order", "probabilities in another order", Dense, tensor("weight", lambda w: torch.cat([w[:, :-2], w[:, -2:].flip(1)], 1)),
        lambda n, m: _is_style(n)),
)  # fmt: skip
CLASSIFIER_FAULTS: tuple[tuple[str, str, str, Change], ...] = (
    ("logits_for_probabilities", "output", "probabilities where the original gives logits", config(output="softmax")),
    ("input_range", "conv0.conv", "images taken as [0, 1]", config(image_scale=0.5, image_shift=0.5)),
    ("input_range", "conv0.conv", "images taken as bytes", config(image_scale=127.5, image_shift=127.5)),
)
