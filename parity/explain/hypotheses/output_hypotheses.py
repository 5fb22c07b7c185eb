"""Hypotheses on what comes out of a layer: probabilities for logits, the order of channels, a constant factor, a style's one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from stylexport.parity.explain.hypotheses.hypothesis import FITTED, SEEN, Hypothesis, number, setting
from stylexport.parity.explain.hypotheses.tensors import in_words, permutation
from stylexport.parity.explain.hypotheses.weight_hypotheses import LAST_LAYERS
from stylexport.parity.explain.suspect import Suspect
from stylexport.torch_models.layers.activations import ACTIVATIONS
from stylexport.torch_models.residual import ResidualBlock


def output_hypotheses(suspect: Suspect, output: Tensor) -> Iterator[Hypothesis]:
    """Every change of `output`, which the layer gave or the port handed on, that fits its shape."""
    expected = suspect.expected
    if output.shape != expected.shape:
        return
    if output.ndim >= 2 and output.shape[1] == output[0].numel() > 0:
        yield from _probabilities(expected)
    if suspect.layer.startswith("style_vectors"):
        for plus, words in ((1.0, "the style lacks its one"), (-1.0, "one is added to the style twice")):
            yield _result("style_plus_one_missing", words, _plus(plus))
    for axis in range(1, output.ndim):
        if (order := permutation(output, expected, axis)) is not None:
            yield _reordered(suspect, axis, order)
    for name, make in ACTIVATIONS.items():
        if name != "linear":
            yield _result("activation", f"{name} is missing behind the layer", make(0.2))
    yield from _factor(suspect, output)


def _probabilities(expected: Tensor) -> Iterator[Hypothesis]:
    """Softmax and sigmoid applied, or taken back: logits are known from probabilities up to a constant a row."""

    def back(y: Tensor) -> Tensor:
        logits = y.log()
        return logits + (expected - logits).mean(1, keepdim=True)

    for detail, remedy, change in (
        ("logits come out where the original gives their softmax", "apply softmax to the logits", lambda y: y.softmax(1)),
        ("logits come out where the original gives their sigmoid", "apply sigmoid to the logits", torch.sigmoid),
        ("softmax probabilities come out where the original gives logits", "return the logits without softmax", back),
        ("sigmoid probabilities come out where the original gives logits", "return the logits without sigmoid", torch.logit),
        ("logarithms of probabilities come out where the original gives probabilities", "return the probabilities themselves", torch.exp),
    ):
        if expected.shape[1] == 1 and "softmax" in remedy + detail:
            continue  # the softmax of one number is 1
        yield Hypothesis("logits_for_probabilities", detail, remedy, result=change)


def _reordered(suspect: Suspect, axis: int, order: list[int]) -> Hypothesis:
    """Slices of the output in another order, as one look at the original's shows."""
    last = suspect.layer.rpartition(".")[2]
    config = suspect.own if suspect.config is None else suspect.config
    labelled = config is None or setting(config, "labels") == len(order)
    at_the_end = axis == 1 and (last in LAST_LAYERS or suspect.stage == "output")
    one_each = math.prod(suspect.expected.shape[2:]) == 1  # a vector, or a map of 1x1
    ends = at_the_end and labelled and (suspect.config is None or one_each)
    cause = "label_order" if ends else "channel_order"
    what = "labels" if ends else {1: "channels", 2: "rows", 3: "columns"}.get(axis, "values")
    detail = f"the {what} come out in another order ({in_words(order)})"
    return _result(cause, detail, lambda y: y.index_select(axis, torch.tensor(order, device=y.device)), SEEN)


def _factor(suspect: Suspect, output: Tensor) -> Iterator[Hypothesis]:
    """The factor that brings the whole output nearest to the original's."""
    power = float(output.square().sum())
    if not power or not math.isfinite(power):
        return
    ratio = float((output * suspect.expected).sum()) / power
    multiplier = setting(suspect.config, "mapping_lr_multiplier") if suspect.layer.startswith("mapping") else None
    cause = "gain"
    if suspect.stage == "join" and isinstance(suspect.module, ResidualBlock):
        cause = "residual_scale"
    elif multiplier and any(math.isclose(ratio, m, rel_tol=1e-5) for m in (multiplier, 1 / multiplier)):
        cause = "lr_multiplier"
    detail = f"the whole output is {number(1 / ratio)} times the original's" if ratio else "the output has nothing of the original's"
    yield _result(cause, detail, lambda y: y * ratio, FITTED)


def _plus(plus: float) -> Callable[[Tensor], Tensor]:
    return lambda y: y + plus


def _result(cause: str, detail: str, change: Callable[[Tensor], Tensor], evidence: int = 1) -> Hypothesis:
    return Hypothesis(cause, detail, evidence=evidence, result=change)
