"""Hypotheses on a layer's constants: epsilon, padding, slope, gain, taps, scales, multipliers, groups, activations.

A `Constant` says where it lies, what it is, what else it might be (the original's own value first, as its graph has it), and how to set it.
One that is a continuous number can also be fitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from stylexport.parity.explain.formulas import Pads, same_pads
from stylexport.parity.explain.hypotheses.hypothesis import SEEN, SUPPOSED, Hypothesis, number, setting
from stylexport.parity.explain.suspect import Suspect
from stylexport.torch_models.layers.activations import ACTIVATIONS
from stylexport.torch_models.layers.equalized import Conv, Dense, LeakyReLU
from stylexport.torch_models.layers.mbstd import MinibatchStd
from stylexport.torch_models.layers.resampling import Fir
from stylexport.torch_models.layers.synthesis import SynthesisLayer
from stylexport.torch_models.mobilenet import BatchNorm, PaddedConv
from stylexport.torch_models.residual import ResidualBlock

SQRT2 = math.sqrt(2.0)
SLOPES = (0.2, 0.1, 0.01, 0.3, 0.0, 1.0)
GAINS = (SQRT2, 1.0, 2.0, 1 / SQRT2)
SCALES = (1 / SQRT2, 1.0, 0.5, SQRT2)
BN_EPSILONS = (1e-3, 1e-5, 1e-4, 1e-6, 1e-2, 2e-5, 1.1e-5)
EPSILONS = (1e-8, 0.0, 1e-6, 1e-5, 1e-12)
MULTIPLIERS = (0.01, 1.0, 100.0)
TAPS = ((1.0, 3.0, 3.0, 1.0), (1.0, 2.0, 1.0), (1.0, 1.0), (1.0, 4.0, 6.0, 4.0, 1.0))
GROUPS = (4, 2, 8, 3, 16)
POINTWISE = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
    nn.Identity,
)


@dataclass(frozen=True)
class Constant:
    """A constant of a module: `value` now, `original` as the original's configuration has it (None unknown), `others` to try.

    `set` gives a module the value. `fitted`: whether any number may be tried.
    """

    cause: str
    words: str
    value: Any
    original: Any
    others: Sequence[Any]
    set: Callable[[nn.Module, Any], None]
    fitted: bool = True

    def hypothesis(self, value: Any, evidence: int = SUPPOSED) -> Hypothesis:
        """The constant set to `value`."""
        return Hypothesis(
            self.cause,
            f"{self.words} is {number(self.value)}, the original's {number(value)}",
            f"set {self.words.rpartition('.')[2]} to {number(value)}" + (", as the original's graph has it" if evidence == SEEN else ""),
            evidence,
            module=lambda module: self.set(module, value),
        )


def attribute_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every constant at every other value, the original's first."""
    for constant in constants(suspect):
        if constant.original is not None and constant.original != constant.value:
            yield constant.hypothesis(constant.original, SEEN)
        # A number that the original's graph confirms is not what is wrong.
        confirmed = constant.fitted and constant.original is not None
        for value in dict.fromkeys(() if confirmed else constant.others):
            if value not in (constant.value, constant.original):
                yield constant.hypothesis(value)


def constants(suspect: Suspect) -> Iterator[Constant]:
    """The constants of the layer's own module and of those inside it."""
    for path, module in suspect.module.named_modules():
        for kind, make in MAKERS:
            if isinstance(module, kind):
                for constant in make(suspect, path, module):
                    prefix = ".".join(part for part in (suspect.layer, path) if part)
                    yield replace(constant, words=f"{prefix}.{constant.words}", set=_inside(path, constant.set))


def _inside(path: str, setter: Callable[[nn.Module, Any], None]) -> Callable[[nn.Module, Any], None]:
    return lambda root, value: setter(root.get_submodule(path), value)


def _attribute(name: str) -> Callable[[nn.Module, Any], None]:
    def put(module: nn.Module, value: Any) -> None:
        module._modules.pop(name, None)  # a module in an attribute's place would refuse to be replaced by anything else
        setattr(module, name, value)

    return put


# --- one function for each kind of module --------------------------------------------------------------------------------


def _activated(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    """Slope and gain of StyleGAN2's activation; its presence."""
    config, now = suspect.config, module.activation
    if now is None:
        slope, gain = setting(config, "leaky_slope") or 0.2, setting(config, "gain") or SQRT2
        yield Constant("activation", "activation", "none", None, (LeakyReLU(slope, gain),), _attribute("activation"), fitted=False)
        return
    slopes = (setting(config, "leaky_slope"), *SLOPES)
    if not isinstance(now, LeakyReLU):
        whole = LeakyReLU(slopes[0] or 0.2, float(getattr(now, "gain", SQRT2)))
        yield Constant("activation", "activation", type(now).__name__, None, (whole,), _attribute("activation"), fitted=False)
        return

    def set_slope(module: Any, value: float) -> None:
        module.activation = replace(module.activation, slope=value)

    def set_gain(module: Any, value: float) -> None:
        module.activation = replace(module.activation, gain=value)

    yield Constant("leaky_slope", "activation.slope", now.slope, setting(config, "leaky_slope"), SLOPES, set_slope)
    yield Constant("gain", "activation.gain", now.gain, setting(config, "gain"), GAINS, set_gain)
    if not isinstance(module, SynthesisLayer):
        yield Constant("activation", "activation", now, None, (None,), _attribute("activation"), fitted=False)


def _demodulated(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    yield Constant(
        "demodulation", "epsilon", module.epsilon, setting(suspect.config, "demodulation_epsilon"), EPSILONS, _attribute("epsilon")
    )


def _multiplied(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    original = None
    if suspect.config is not None:
        original = setting(suspect.config, "mapping_lr_multiplier") if suspect.layer.startswith("mapping") else 1.0
    yield Constant("lr_multiplier", "lr_multiplier", module.lr_multiplier, original, MULTIPLIERS, _attribute("lr_multiplier"))


def _filter(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    """A filter's taps as the constructor takes them, scaled to the gain of its place: 2 an axis where it doubles."""
    gain = 1.0 if isinstance(suspect.module, Conv | ResidualBlock) else 2.0
    now = tuple(reversed(module.taps))
    original = setting(suspect.config, "fir")

    def scaled(taps: Iterable[float], total: float) -> tuple[float, ...]:
        taps = tuple(taps)
        return tuple(t * total / sum(taps) for t in taps) if sum(taps) else taps

    def taps(module: Any, value: tuple[float, ...]) -> None:
        module.taps = tuple(reversed(value))
        module.reset_kernel(module.kernel.device)

    known = None if original is None else scaled(original, gain)
    now = known if known is not None and _near(now, known) else now
    others = [scaled(now, gain), tuple(reversed(now)), *(scaled(t, gain) for t in TAPS)]
    yield Constant("fir_filter", "taps", now, known, others, taps, fitted=False)


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(one, other, strict=True))


def _summed(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    original = setting(suspect.config, "residual_scale")
    yield Constant("residual_scale", "residual_scale", module.residual_scale, original, SCALES, _attribute("residual_scale"))


def _grouped(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    config = suspect.config
    yield Constant("mbstd", "group", module.group, setting(config, "mbstd_group"), GROUPS, _attribute("group"), fitted=False)
    yield Constant("mbstd", "epsilon", module.epsilon, setting(config, "mbstd_epsilon"), EPSILONS, _attribute("epsilon"))


def _normalised(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    name = "epsilon" if isinstance(module, BatchNorm) else "eps"
    yield Constant("bn_epsilon", name, getattr(module, name), layer_spec(suspect, "epsilon"), BN_EPSILONS, _attribute(name))


def _other_norm(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    """A normalisation over features: what it adds to the variance, and its groups."""
    yield Constant("norm_epsilon", "eps", module.eps, None, (*BN_EPSILONS, 1e-12, 1e-8), _attribute("eps"))
    if isinstance(module, nn.GroupNorm):
        groups = [n for n in range(1, module.num_channels + 1) if module.num_channels % n == 0]
        yield Constant("norm_groups", "num_groups", module.num_groups, None, groups, _attribute("num_groups"), fitted=False)


def _padded(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    """Padding of a classifier's convolution: by name, as four numbers, and TensorFlow's computed here, not in `torch_models`."""
    explicit = _explicit(suspect, module.weight, module.stride, module.dilation)
    others = ["same", "valid", *explicit]
    yield Constant("padding", "padding", module.padding, layer_spec(suspect, "padding"), others, _attribute("padding"), fitted=False)
    for name in ("stride", "dilation"):
        yield Constant("padding", name, getattr(module, name), layer_spec(suspect, name), ((1, 1), (2, 2)), _attribute(name), fitted=False)


def _explicit(suspect: Suspect, weight: Tensor, stride: Sequence[int], dilation: Sequence[int]) -> list[Pads]:
    """Zeros (top, bottom, left, right): TensorFlow's SAME for this input, the same on every side, all on one side, none."""
    pads: list[Pads] = []
    if suspect.args and isinstance(suspect.args[0], Tensor) and suspect.args[0].ndim == 4:
        pads.append(same_pads(suspect.args[0], weight, stride, dilation))
    height, width = ((k - 1) * d for k, d in zip(weight.shape[2:], dilation, strict=True))
    pads += [(height // 2, height // 2, width // 2, width // 2), (0, height // 2, 0, width // 2), (height // 2, 0, width // 2, 0)]
    pads += [(0, height, 0, width), (height, 0, width, 0), (0, 0, 0, 0)]
    return list(dict.fromkeys(pads))


def _pointwise(suspect: Suspect, path: str, module: Any) -> Iterator[Constant]:
    """Another activation in an activation's place: the copy's forward becomes the other's."""
    name = _activation_name(module)

    def become(module: Any, value: str) -> None:
        slope = layer_spec(suspect, "slope") or 0.2
        module.__dict__["forward"] = ACTIVATIONS[value](slope)

    yield Constant("activation", "activation", name, layer_spec(suspect, "activation"), list(ACTIVATIONS), become, fitted=False)
    if isinstance(module, nn.LeakyReLU):
        slope = _attribute("negative_slope")
        yield Constant("leaky_slope", "slope", module.negative_slope, layer_spec(suspect, "slope"), SLOPES, slope)


def _activation_name(module: nn.Module) -> str:
    kinds = {type(make(0.2)): name for name, make in reversed(ACTIVATIONS.items())}
    return kinds.get(type(module), type(module).__name__)


def layer_spec(suspect: Suspect, name: str) -> Any:
    """A field of the classifier's `ConvSpec` for this layer, as the original's configuration has it; None where there is none."""
    layers = setting(suspect.config, "layers")
    parts = suspect.layer.split(".")
    if layers is None:
        return None
    if parts[0] == "conv0":
        place = 0
    elif len(parts) > 1 and parts[0][1:].isdigit() and parts[1] in ("depthwise", "pointwise"):
        place = 2 * int(parts[0][1:]) - (parts[1] == "depthwise")
    else:
        return None
    value = layers[place].get(name) if place < len(layers) else None
    return tuple(value) if isinstance(value, list) else value


MAKERS: tuple[tuple[Any, Callable[[Suspect, str, Any], Iterator[Constant]]], ...] = (
    ((SynthesisLayer, Conv, Dense), _activated),
    (SynthesisLayer, _demodulated),
    (Dense, _multiplied),
    (Fir, _filter),
    (ResidualBlock, _summed),
    (MinibatchStd, _grouped),
    ((BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _normalised),
    ((nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _other_norm),
    (PaddedConv, _padded),
    (POINTWISE, _pointwise),
)
