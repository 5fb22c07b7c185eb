"""What NVIDIA's programs wrote of a StyleGAN2 network beside its tensors: arguments in TensorFlow, attributes of modules in PyTorch.

Each setting that changes the function becomes a field of the configuration, or is refused by its name where the networks here have no such
function. A checkpoint has none; the defaults of the paper then hold, and the ledger says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from stylexport.common.errors import MappingError
from stylexport.converter.formats.base import Artefact
from stylexport.converter.mapping.stylegan.nvidia_files import Found, variable_of
from stylexport.converter.mapping.stylegan.nvidia_graph import constants_of

# Arguments of TensorFlow's networks that change nothing in evaluation, or are seen in names and shapes.
_SILENT = frozenset(
    "function num_channels resolution label_size latent_size dlatent_size dlatent_broadcast mapping_layers mapping_fmaps label_fmaps "
    "fmap_base fmap_decay fmap_min fmap_max fmap_const architecture use_noise randomize_noise structure fused_modconv truncation_psi "
    "truncation_cutoff truncation_psi_val truncation_cutoff_val dlatent_avg_beta style_mixing_prob w_avg_beta synthesis_func mapping_func "
    "freeze_layers is_training is_validation return_dlatents score_size score_max".split()
)
_READ = frozenset(
    "nonlinearity mapping_nonlinearity normalize_latents mapping_lrmul conv_clamp resample_kernel num_fp16_res dtype mbstd_group_size "
    "mbstd_num_features use_spectral_norm use_pagan adaptive_dropout".split()
)
_TAPS = 4
GRAPH_FORMATS = ("savedmodel", "graphdef")


def refuse(where: str, what: str, known: str) -> NoReturn:
    """Raises MappingError: the network has something that the networks here have not."""
    raise MappingError(f"{where} has {what}; {known}, so it cannot be converted")


@dataclass(frozen=True)
class Settings:
    """Fields of a configuration, each with its source, and remarks on what was passed over."""

    values: dict[str, tuple[object, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def fields(self, names: Sequence[str]) -> dict[str, tuple[object, str]]:
        """Those of these names that the file gives."""
        return {name: self.values[name] for name in names if name in self.values}

    def remarks(self, name: str) -> list[str]:
        """The remarks, each beginning with the network's name."""
        return [f"{name}: {note}" for note in self.notes]


def settings_of(found: Found, artefact: Artefact, where: str) -> Settings:
    """What is written of a network. Raises MappingError, naming the setting, for a function that is not known here."""
    if found.written is None and artefact.format in GRAPH_FORMATS:
        return Settings(*constants_of(found, artefact, generator=found.name != "D"))
    if found.written is None:
        return Settings({}, ("the file has no arguments of the network; the defaults of StyleGAN2 hold (conversion.json lists them)",))
    return _attributes(found, artefact, where) if found.in_pytorch else _arguments(found, where)


def _arguments(found: Found, where: str) -> Settings:
    """Of a network in TensorFlow."""
    source = "arguments of the network in the file"
    values: dict[str, tuple[object, str]] = {}
    for name, only in (("nonlinearity", "lrelu"), ("mapping_nonlinearity", "lrelu"), ("normalize_latents", True)):
        value, _ = found.setting(name, only)
        if value != only:
            refuse(where, f"{name}={value!r}", f"only {only!r} is known")
    for name in ("use_spectral_norm", "use_pagan", "adaptive_dropout"):
        if found.setting(name)[0]:
            refuse(where, f"{name}={found.setting(name)[0]!r}", "the discriminator here has no such part")
    for name, into in (("mapping_lrmul", "mapping_lr_multiplier"), ("conv_clamp", "conv_clamp")):
        value, written = found.setting(name)
        if written:
            values[into] = (_number(value, name, where) if value is not None else None, source)
    taps, written = found.setting("resample_kernel", [1, 3, 3, 1])
    if written:
        if not isinstance(taps, list) or len(taps) != _TAPS or not all(isinstance(t, int | float) for t in taps):
            refuse(where, f"resample_kernel={taps!r}", "a filter here has four taps")
        values["fir"] = (tuple(float(t) for t in taps), source)
    kwargs = {name for settings in (found.written.settings if found.written else {}).values() for name in settings}
    notes = _half(found.setting("num_fp16_res", 0)[0])
    if unknown := sorted(kwargs - _SILENT - _READ):
        notes += (f"arguments that are not known here and were passed over: {', '.join(unknown)}",)
    values |= _minibatch(found, where, source)
    return Settings(values, notes)


def _minibatch(found: Found, where: str, source: str) -> dict[str, tuple[object, str]]:
    """The group of the minibatch standard deviation; StyleGAN2-ADA's default, by its function D_main, is the whole batch."""
    ada = found.setting("function")[0] == "D_main"
    group, written = found.setting("mbstd_group_size", None if ada else 4)
    features, _ = found.setting("mbstd_num_features", 1)
    if features != 1 or group in (0, 1):
        refuse(where, f"mbstd_num_features={features}, mbstd_group_size={group}", "the discriminator here has one feature, and groups")
    return {"mbstd_group": (int(group or 0), source if written else f"default of {found.setting('function')[0]}")}


def _attributes(found: Found, artefact: Artefact, where: str) -> Settings:
    """Of a module in PyTorch: its layers' own attributes."""
    assert found.written is not None
    written, source = found.written, "attributes of the modules in the file"
    values: dict[str, tuple[object, str]] = {}
    for part, kind in written.values("activation").items():
        linear = part.endswith((".affine", ".out", ".skip", "mapping.embed"))
        if kind != ("linear" if linear else "lrelu"):
            refuse(where, f"activation {kind!r} in {part}", "only 'lrelu' is known")
    clamps = _same(written.values("conv_clamp"), "conv_clamp", where, without=(".skip",))
    if clamps is not None:
        values["conv_clamp"] = (None if clamps[0] is None else _number(clamps[0], "conv_clamp", where), source)
    multiplier = _same(written.values("bias_gain", "mapping.fc"), "bias_gain", where)
    if multiplier is not None:
        values["mapping_lr_multiplier"] = (_number(multiplier[0], "bias_gain", where), source)
    gains = {part: gain for part, gain in written.values("act_gain").items() if not part.endswith(".skip")}
    if (gain := _same(gains, "act_gain", where)) is not None:
        values["gain"] = (_number(gain[0], "act_gain", where), source)
    _check_scales(found, written.values("weight_gain"), where, float(multiplier[0]) if multiplier else 1.0)
    if (taps := _taps(found, artefact, where)) is not None:
        values["fir"] = (taps, "resample_filter in the file")
    group = written.values("group_size", "b4.mbstd")
    if group:
        features = next(iter(written.values("num_channels", "b4.mbstd").values()), 1)
        size = next(iter(group.values()))
        if features != 1 or size == 1:
            refuse(where, f"mbstd_num_channels={features}, mbstd_group_size={size}", "the discriminator here has one channel, and groups")
        values["mbstd_group"] = (int(size or 0), source)
    half = any(written.values("use_fp16").values())
    return Settings(values, _half(half))


def _check_scales(found: Found, scales: dict[str, Any], where: str, multiplier: float) -> None:
    """Raises MappingError for a layer whose weights are scaled by something else than multiplier / sqrt(fan in)."""
    for part, scale in scales.items():
        weight = variable_of(found, f"/{part}.weight")
        if weight is None:
            continue
        fan_in = math.prod(weight.shape[1:])
        expected = (multiplier if part.startswith("mapping.fc") else 1.0) / math.sqrt(fan_in)
        if not isinstance(scale, int | float) or abs(scale - expected) > 1e-6 * expected:
            refuse(where, f"weights scaled by {scale} in {part}", f"StyleGAN2 scales by {expected:.6g}")


def _same(values: dict[str, Any], name: str, where: str, without: tuple[str, ...] = ()) -> tuple[Any] | None:
    """The one value that all layers have; None where none has it. Raises MappingError where they differ."""
    found = {part: value for part, value in values.items() if not part.endswith(without)} if without else values
    different = {repr(value): part for part, value in found.items()}
    if len(different) > 1:
        refuse(where, f"{name} " + ", ".join(f"{value} in {part}" for value, part in list(different.items())[:3]), "one for all is known")
    return (next(iter(found.values())),) if found else None


def _taps(found: Found, artefact: Artefact, where: str) -> tuple[float, ...] | None:
    """The taps of the resampling filters, which must be one, in proportion: the smallest is 1."""
    kernels = [artefact.read(v) for v in found.names.variables if v.name.endswith(".resample_filter")]
    if not kernels:
        return None
    first = kernels[0].astype(np.float64)
    if first.shape != (_TAPS, _TAPS) or any(not np.array_equal(kernels[0], kernel) for kernel in kernels):
        refuse(where, f"a resampling filter {list(first.shape)}, or several", "one of four taps is known")
    taps = first.sum(axis=0)
    if not np.isfinite(first).all() or not taps.sum() or not np.allclose(np.outer(taps, taps) / taps.sum(), first, rtol=1e-5, atol=0):
        refuse(where, "a resampling filter that is not the product of two rows", "a separable one is known")
    ratios = np.round(taps / np.abs(taps[taps != 0]).min(), 5)
    return tuple(float(t) for t in ratios)


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        refuse(where, f"{name}={value!r}", "a positive number is known")
    return float(value)


def _half(resolutions: Any) -> tuple[str, ...]:
    if not resolutions:
        return ()
    return ("its highest resolutions were trained in half precision; this network computes in the precision of its input",)
