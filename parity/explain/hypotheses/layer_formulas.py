"""From a suspect's module to its plain formula, with the original's own tensors and constants where they are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stylexport.parity.difference import finite_error
from stylexport.parity.explain import formulas
from stylexport.parity.explain.hypotheses.attribute_hypotheses import SQRT2, layer_spec
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE, setting
from stylexport.parity.explain.hypotheses.reduced import EXPENSIVE, cost, most_different_channels, rows
from stylexport.parity.explain.hypotheses.tensors import own_tensors
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT
from stylexport.torch_models.discriminator import Discriminator
from stylexport.torch_models.layers.equalized import Conv, Dense
from stylexport.torch_models.layers.mbstd import MinibatchStd
from stylexport.torch_models.layers.synthesis import SynthesisBlock, SynthesisLayer, ToRGB
from stylexport.torch_models.mobilenet import BatchNorm, PaddedConv
from stylexport.torch_models.residual import ResidualBlock

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class LayerFormula:
    """A layer written out plainly: a formula, and every tensor and constant that goes into it."""

    formula: Callable[..., Tensor]
    facts: Facts
    channels: Tensor | None = None  # of the output, where they are not all

    def output(self, **changed: Any) -> Tensor:
        """What the formula gives, with some facts changed."""
        facts = {**self.facts, **changed}
        if self.channels is not None:
            facts |= rows(facts, len(facts["weight"]), self.channels)
        return self.formula(**facts)

    def part(self, whole: Tensor) -> Tensor:
        """Those channels of an output that the formula makes."""
        return whole if self.channels is None else whole[:, self.channels]


def valid_formula(suspect: Suspect, wrong: Tensor) -> LayerFormula | None:
    """The layer's plain formula, if it gives the original's output to rounding; of expensive layers, a few channels."""
    formula = plain_formula(suspect)
    if formula is None:
        return None
    if "weight" in formula.facts and cost(suspect) > EXPENSIVE and len(formula.facts["weight"]) == suspect.expected.shape[1]:
        formula = replace(formula, channels=most_different_channels((wrong, suspect.expected)))
    try:
        valid = finite_error(formula.output(), formula.part(suspect.expected)) <= EXACT
    except IMPOSSIBLE:
        return None
    return formula if valid else None


def plain_formula(suspect: Suspect) -> LayerFormula | None:
    """The layer's formula with the original's tensors and constants, where they are known, else the module's; None for other modules."""
    for kind, make in FORMULAS:
        if isinstance(suspect.module, kind):
            try:
                return make(suspect, {**own_tensors(suspect.module), **suspect.weights})
            except IMPOSSIBLE:
                return None
    return None


def _constant(suspect: Suspect, name: str, own: Any) -> Any:
    """A constant as the original's configuration has it, else the module's."""
    value = setting(suspect.config, name)
    return own if value is None else tuple(value) if isinstance(value, list) else value


def _activation(suspect: Suspect, module: Any) -> dict[str, float]:
    if module.activation is None:
        return {"slope": 1.0, "gain": 1.0}
    return {
        "slope": _constant(suspect, "leaky_slope", getattr(module.activation, "slope", 0.2)),
        "gain": _constant(suspect, "gain", getattr(module.activation, "gain", SQRT2)),
    }


def _clamp(suspect: Suspect, clamping: Any) -> dict[str, Any]:
    """What a convolution's output is clamped to; a skip, which has no activation, is not."""
    own = getattr(clamping, "clamp", None)
    return {"clamp": None if clamping is None else _constant(suspect, "conv_clamp", own)}


def _taps(suspect: Suspect, fir: Any, axis_gain: float) -> dict[str, Any]:
    """Taps as the constructor of a filter takes them."""
    if fir is None:
        return {"taps": None, "axis_gain": axis_gain, "shift": 0}
    return {"taps": _constant(suspect, "fir", tuple(reversed(fir.taps))), "axis_gain": axis_gain, "shift": 0}


def _bias(tensors: Mapping[str, Tensor]) -> Tensor:
    weight = tensors["weight"]
    return tensors["bias"] if "bias" in tensors else weight.new_zeros(weight.shape[0])


def _synthesis(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    noise = suspect.args[2] if len(suspect.args) > 2 else suspect.kwargs.get("noise", "const")
    constant = {"const": tensors.get("noise_const"), "none": None}
    return LayerFormula(
        formulas.modulated,
        {
            **_modulation(suspect, tensors),
            **_activation(suspect, module),
            **_taps(suspect, module.fir, 2.0),
            "epsilon": _constant(suspect, "demodulation_epsilon", module.epsilon),
            "noise": constant[noise] if isinstance(noise, str) else noise,
            "strength": tensors.get("noise_strength", 0.0),
            **_clamp(suspect, module.activation),
        },
    )


def _to_rgb(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    plain = {"epsilon": None, "noise": None, "strength": 0.0, "slope": 1.0, "gain": 1.0}
    plain |= _clamp(suspect, suspect.module)
    return LayerFormula(formulas.modulated, {**_modulation(suspect, tensors), **plain, **_taps(suspect, None, 1.0)})


def _modulation(suspect: Suspect, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    x, weight = suspect.args[0], tensors["weight"]
    style = suspect.args[1] if len(suspect.args) > 1 else suspect.kwargs["style"]
    equalized = weight.shape[2] == 1 or _constant(suspect, "equalized_convolutions", getattr(suspect.module, "equalized", True))
    coefficient = 1 / math.sqrt(weight[0].numel()) if equalized else 1.0
    pads = formulas.same_pads(x, weight)
    return {"x": x, "style": style, "weight": weight, "bias": _bias(tensors), "coefficient": coefficient, "pads": pads}


def _conv(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    x, weight = suspect.args[0], tensors["weight"]
    facts = {"x": x, "weight": weight, "bias": _bias(tensors), "coefficient": 1 / math.sqrt(weight[0].numel())}
    pads = formulas.same_pads(x, weight)
    facts |= {"pads": pads, **_clamp(suspect, module.activation)}
    return LayerFormula(formulas.convolution, {**facts, **_activation(suspect, module), **_taps(suspect, module.fir, 1.0)})


def _dense(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    weight = tensors["weight"]
    multiplier = module.lr_multiplier
    if suspect.config is not None:
        multiplier = _constant(suspect, "mapping_lr_multiplier", 1.0) if suspect.layer.startswith("mapping") else 1.0
    facts = {"x": suspect.args[0], "weight": weight, "bias": _bias(tensors), "coefficient": 1 / math.sqrt(weight.shape[1])}
    plus = _constant(suspect, "style_offset", 1.0) if suspect.layer.startswith("style_vectors") else 0.0
    return LayerFormula(formulas.dense, {**facts, **_activation(suspect, module), "lr_multiplier": multiplier, "plus": plus})


def _block(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    """The sum of a residual block: its branches as the original gave them, which the stubs in the module return."""
    module: Any = suspect.module
    x = suspect.args[0] if module.fromrgb is None else module.fromrgb(suspect.args[0])
    scale = _constant(suspect, "residual_scale", module.residual_scale)
    return LayerFormula(formulas.residual, {"main": module.conv1(module.conv0(x)), "skip": module.skip(x), "residual_scale": scale})


def _image(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    """The sum of toRGB and the image before, doubled."""
    module: Any = suspect.module
    x, image, conv, torgb, noise = suspect.args
    x = module.conv0(x, conv[0], noise[0])
    rgb = module.torgb(module.conv1(x, conv[-1], noise[-1]), torgb)
    return LayerFormula(formulas.skip_image, {"image": image, "rgb": rgb, **_taps(suspect, module.upsample, 2.0)})


def _deviation(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    group, epsilon = _constant(suspect, "mbstd_group", module.group), _constant(suspect, "mbstd_epsilon", module.epsilon)
    group = group or len(suspect.args[0])
    switches = {"apart": True, "last": True, "root": True, "unbiased": False, "present": True}
    return LayerFormula(formulas.minibatch_std, {"x": suspect.args[0], "group": group, "epsilon": epsilon, **switches})


def _padded(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    x, weight = suspect.args[0], tensors["weight"]
    padding, stride, dilation = (layer_spec(suspect, name) or getattr(module, name) for name in ("padding", "stride", "dilation"))
    pads = formulas.same_pads(x, weight, stride, dilation) if padding == "same" else (0, 0, 0, 0)
    pads = pads if isinstance(padding, str) else tuple(padding)
    facts = {"x": x, "weight": weight, "bias": _bias(tensors), "stride": stride, "dilation": dilation}
    return LayerFormula(formulas.padded_convolution, {**facts, "groups": module.groups, "pads": pads})


def _norm(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    mean, variance = tensors["running_mean"], tensors["running_var"]
    scale, offset = tensors.get("weight", torch.ones_like(mean)), tensors.get("bias", torch.zeros_like(mean))
    facts = {"x": suspect.args[0], "mean": mean, "variance": variance, "scale": scale, "offset": offset}
    return LayerFormula(formulas.batch_norm, {**facts, "epsilon": layer_spec(suspect, "epsilon") or module.epsilon})


def _score(suspect: Suspect, tensors: Mapping[str, Tensor]) -> LayerFormula:
    module: Any = suspect.module
    image, probabilities = suspect.args
    return LayerFormula(formulas.score, {"outputs": module.trunk(image), "probabilities": probabilities})


FORMULAS: tuple[tuple[type, Callable[[Suspect, Mapping[str, Tensor]], LayerFormula]], ...] = (
    (SynthesisLayer, _synthesis),
    (ToRGB, _to_rgb),
    (Conv, _conv),
    (Dense, _dense),
    (ResidualBlock, _block),
    (SynthesisBlock, _image),
    (MinibatchStd, _deviation),
    (PaddedConv, _padded),
    (BatchNorm, _norm),
    (Discriminator, _score),
)
