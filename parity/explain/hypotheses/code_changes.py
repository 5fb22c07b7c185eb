"""Hypotheses on a layer's code: its plain formula (`stylexport.parity.explain.formulas`) is changed in one place until it errs as the
port does.

No constant or tensor of a module can be set right where its forward leaves something out. So the original's own tensors and constants go
into a formula that owes nothing to the module, which must give what the original gave, and then one fact of it is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylexport.parity.difference import finite_error
from stylexport.parity.explain import formulas
from stylexport.parity.explain.causes import CAUSES, ORDER
from stylexport.parity.explain.hypotheses.attribute_hypotheses import BN_EPSILONS, EPSILONS, GROUPS, SLOPES, SQRT2, TAPS
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE, number
from stylexport.parity.explain.hypotheses.input_hypotheses import input_hypotheses
from stylexport.parity.explain.hypotheses.layer_formulas import Facts, LayerFormula, plain_formula, valid_formula
from stylexport.parity.explain.hypotheses.weight_permutations import PERMUTATIONS
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT
from stylexport.torch_models.layers.activations import ACTIVATIONS


@dataclass(frozen=True)
class CodeChange:
    """One mistake that a layer's code may hold: what it does, and the output that it gives."""

    cause: str
    detail: str
    run: Callable[[], Tensor]
    part: Callable[[Tensor], Tensor] = field(default=lambda whole: whole)

    @property
    def advice(self) -> str:
        """What to do, in words."""
        return f"in the layer's code: {CAUSES[self.cause].remedy}"

    def residual(self, wrong: Tensor) -> float:
        """The relative distance from what the port gives; infinite where it cannot be computed."""
        try:
            return finite_error(self.run(), self.part(wrong))
        except IMPOSSIBLE:
            return float("inf")


def code_changes(suspect: Suspect, wrong: Tensor) -> Iterator[CodeChange]:
    """Every mistake that the layer's code may hold and that may give `wrong`, the most specific first."""
    found = list(_after(suspect.expected))
    formula = valid_formula(suspect, wrong)
    if formula is not None:
        found += _changes(formula)
        for hypothesis in input_hypotheses(suspect):
            if hypothesis.arguments is not None and (other := _changed(suspect, hypothesis.arguments)) is not None:
                found.append(
                    CodeChange(hypothesis.cause, hypothesis.detail, replace(other, channels=formula.channels).output, formula.part)
                )
    elif _is_right(suspect):
        for hypothesis in input_hypotheses(suspect):
            if hypothesis.arguments is not None:
                found.append(CodeChange(hypothesis.cause, hypothesis.detail, partial(hypothesis.output, suspect)))
    yield from sorted(found, key=lambda item: ORDER[item.cause])


def _is_right(suspect: Suspect) -> bool:
    """Whether the module by itself gives what the original gave."""
    try:
        return suspect.error(suspect.output()) <= EXACT
    except IMPOSSIBLE:
        return False


def _changed(suspect: Suspect, arguments: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> LayerFormula | None:
    try:
        return plain_formula(replace(suspect, args=arguments(suspect.args)))
    except IMPOSSIBLE:
        return None


# A fact, the cause of its being another, what the code then does, and what else it might be, from all the facts.
ROWS: tuple[tuple[str, str, str, Callable[[Any, Facts], list[dict[str, Any]]]], ...] = (
    ("strength", "noise", "leaves the noise out", lambda s, f: [{"noise": None}]),
    ("noise", "noise", "swaps height and width of the noise", lambda n, f: [{"noise": n.transpose(-2, -1)}] if n is not None else []),
    ("noise", "noise", "adds the noise at its own strength", lambda n, f: [{"strength": 1.0}] if n is not None else []),
    ("bias", "bias_missing", "leaves the bias out", lambda b, f: [{"bias": torch.zeros_like(b)}]),
    ("offset", "bias_missing", "leaves the offset out", lambda b, f: [{"offset": torch.zeros_like(b)}]),
    ("mean", "bn_moments_swapped", "swaps mean and variance", lambda m, f: [{"mean": f["variance"], "variance": m}]),
    ("scale", "bn_affine_swapped", "swaps scale and offset", lambda s, f: [{"scale": f["offset"], "offset": s}]),
    ("mean", "bn_epsilon", "has another epsilon", lambda m, f: [{"epsilon": e} for e in (0.0, *BN_EPSILONS) if e != f["epsilon"]]),
    (
        "variance",
        "bn_epsilon",
        "adds epsilon behind the root",
        lambda v, f: [{"variance": (v.sqrt() + f["epsilon"]).square() - f["epsilon"]}],
    ),
    ("style", "demodulation", "leaves the demodulation out", lambda s, f: [{"epsilon": None}] if f["epsilon"] is not None else []),
    ("style", "demodulation", "demodulates", lambda s, f: [{"epsilon": 1e-8}] if f["epsilon"] is None else []),
    (
        "style",
        "demodulation",
        "demodulates with another epsilon",
        lambda s, f: [{"epsilon": e} for e in EPSILONS] if f["epsilon"] is not None else [],
    ),
    ("slope", "leaky_slope", "has another slope", lambda s, f: [{"slope": v} for v in SLOPES if v not in (s, 0.0, 1.0)] if s != 1 else []),
    ("slope", "activation", "has no activation", lambda s, f: [{"slope": 1.0}, {"slope": 1.0, "gain": 1.0}] if s != 1 else []),
    ("slope", "activation", "has a ReLU for its leaky ReLU", lambda s, f: [{"slope": 0.0}, {"slope": 0.0, "gain": 1.0}] if s != 1 else []),
    ("slope", "activation", "has an activation", lambda s, f: [{"slope": 0.2, "gain": g} for g in (1.0, SQRT2)] if s == 1 else []),
    ("gain", "gain", "leaves the gain out", lambda g, f: [{"gain": 1.0}] if g != 1 else []),
    ("gain", "gain", "applies the gain twice", lambda g, f: [{"gain": g * g}] if g != 1 else []),
    ("gain", "gain", "leaves the gain out of the bias", lambda g, f: [{"bias": f["bias"] / g}] if g != 1 else []),
    ("coefficient", "gain", "leaves 1 / sqrt(fan in) out", lambda c, f: [{"coefficient": 1.0}]),
    ("coefficient", "gain", "applies 1 / sqrt(fan in) twice", lambda c, f: [{"coefficient": c * c}]),
    (
        "coefficient",
        "gain",
        "scales by the fan out",
        lambda c, f: [{"coefficient": c * math.sqrt(f["weight"].shape[1] / f["weight"].shape[0])}],
    ),
    ("taps", "fir_filter", "has other taps", lambda t, f: [{"taps": o} for o in (t[::-1], *TAPS)] if t else []),
    (
        "axis_gain",
        "fir_filter",
        "has another gain in its filter",
        lambda g, f: [{"axis_gain": g * k} for k in (0.5, 2.0, SQRT2, 1 / SQRT2)],
    ),
    ("shift", "padding", "pads the filter on the other side", lambda s, f: [{"shift": 1}, {"shift": -1}]),
    ("pads", "padding", "pads otherwise", lambda p, f: [{"pads": o} for o in _other_pads(p)]),
    ("pads", "padding", "pads with what it finds at the border, not with zeros", lambda p, f: _filled(f["x"], p)),
    ("lr_multiplier", "lr_multiplier", "leaves the multiplier out", lambda m, f: [{"lr_multiplier": 1.0}] if m != 1 else []),
    ("lr_multiplier", "lr_multiplier", "applies the multiplier twice", lambda m, f: [{"lr_multiplier": m * m}] if m != 1 else []),
    ("lr_multiplier", "lr_multiplier", "leaves the multiplier out of the bias", lambda m, f: [{"bias": f["bias"] / m}] if m != 1 else []),
    (
        "lr_multiplier",
        "lr_multiplier",
        "leaves the multiplier out of the weight",
        lambda m, f: [{"weight": f["weight"] / m}] if m != 1 else [],
    ),
    ("plus", "style_plus_one_missing", "adds no one to the style", lambda p, f: [{"plus": 0.0}] if p else []),
    ("plus", "style_plus_one_missing", "adds one to the style twice", lambda p, f: [{"plus": 2.0}] if p else []),
    ("residual_scale", "residual_scale", "leaves the scale out", lambda s, f: [{"residual_scale": 1.0}]),
    ("residual_scale", "residual_scale", "applies the scale twice", lambda s, f: [{"residual_scale": s * s}]),
    (
        "main",
        "residual_scale",
        "scales one branch alone",
        lambda m, f: [{"main": m / f["residual_scale"]}, {"skip": f["skip"] / f["residual_scale"]}],
    ),
    ("main", "residual_scale", "leaves a branch out", lambda m, f: [{"main": m * 0}, {"skip": f["skip"] * 0}]),
    ("apart", "mbstd", "groups samples side by side", lambda a, f: [{"apart": False}]),
    ("last", "mbstd", "puts the channel first", lambda a, f: [{"last": False}]),
    ("present", "mbstd", "leaves the deviation out", lambda a, f: [{"present": False}]),
    ("root", "mbstd", "takes the variance for the deviation", lambda a, f: [{"root": False}]),
    ("unbiased", "mbstd", "divides by one sample fewer", lambda a, f: [{"unbiased": True}]),
    ("apart", "mbstd", "has another group or epsilon", lambda a, f: [{"group": g} for g in GROUPS] + [{"epsilon": e} for e in EPSILONS]),
    ("probabilities", "logits_for_probabilities", "takes the logarithm of the probabilities", lambda p, f: [{"probabilities": p.log()}]),
    ("probabilities", "logits_for_probabilities", "applies another softmax", lambda p, f: [{"probabilities": p.softmax(1)}]),
    ("probabilities", "label_order", "has the labels in another order", lambda p, f: [{"probabilities": p.flip(1)}]),
)


def _changes(formula: LayerFormula) -> Iterator[CodeChange]:
    """The rows of the table that this formula has the facts for, and the permutations of its weight."""
    for name, cause, words, others in ROWS:
        if name in formula.facts:
            for change in others(formula.facts[name], formula.facts):
                shown = ", ".join(f"{key} {number(value)}" for key, value in change.items() if not isinstance(value, Tensor))
                yield CodeChange(
                    cause, f"the code {words}{f' ({shown})' if shown else ''}", partial(formula.output, **change), formula.part
                )
    if isinstance(weight := formula.facts.get("weight"), Tensor):
        for permutation in PERMUTATIONS:
            if permutation.fits(weight):
                yield CodeChange(
                    permutation.cause,
                    f"in the code the weight {permutation.detail}",
                    partial(formula.output, weight=permutation.undo(weight)),
                    formula.part,
                )


def _after(expected: Tensor) -> Iterator[CodeChange]:
    """What the code might do to a layer's output, right as it is."""
    for name, make in ACTIVATIONS.items():
        if name != "linear":
            yield CodeChange("activation", f"{name} is applied behind the layer", partial(make(0.2), expected))
    yield CodeChange("activation", "the output is clipped to [-1, 1]", lambda: expected.clamp(-1, 1))
    if expected.ndim >= 2 and expected.shape[1] == expected[0].numel():
        for words, change in (("softmax", lambda y: y.softmax(1)), ("log-softmax", lambda y: y.log_softmax(1)), ("sigmoid", torch.sigmoid)):
            yield CodeChange("logits_for_probabilities", f"{words} is applied to the output", partial(change, expected))
    if expected.ndim >= 2 and 1 < expected.shape[1] <= 4:
        yield CodeChange("channel_order", "the output's channels are reversed", lambda: expected.flip(1))


def _other_pads(pads: formulas.Pads) -> list[formulas.Pads]:
    """The same number of zeros on other sides, or none."""
    height, width = pads[0] + pads[1], pads[2] + pads[3]
    sides = [(0, height, 0, width), (height, 0, width, 0), (height // 2, height - height // 2, width // 2, width - width // 2)]
    sides += [((height + 1) // 2,) * 2 + ((width + 1) // 2,) * 2, (0, 0, 0, 0)]
    return [side for side in dict.fromkeys(sides) if side != pads]


def _filled(x: Tensor, pads: formulas.Pads) -> list[dict[str, Any]]:
    """The input padded otherwise than with zeros, where the padding is narrow enough to be."""
    top, bottom, left, right = pads
    if not any(pads) or max(top, bottom) >= x.shape[2] or max(left, right) >= x.shape[3]:
        return []
    modes = ("reflect", "replicate", "circular")
    return [{"x": F.pad(x, (left, right, top, bottom), mode), "pads": (0, 0, 0, 0)} for mode in modes]
