"""Hypotheses on tensors whose original is not known: a factor, a bias, or one element, fitted to what the original gave.

A wrong element k leaves a residual along its own derivative d_k, so among all elements the projection of the residual on the derivative,
|<residual, d_k>| / |d_k|, is largest there. The numerators of all elements are one gradient; the norms are first guessed from the
input's power, and taken exactly for the likeliest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.parity.explain.hypotheses.fit import fit
from stylexport.parity.explain.hypotheses.hypothesis import FITTED, IMPOSSIBLE, Hypothesis, number
from stylexport.parity.explain.hypotheses.tensors import assign, own_tensors
from stylexport.parity.explain.hypotheses.weight_hypotheses import NOISE, factor_cause
from stylexport.parity.explain.suspect import Suspect

CANDIDATES = 24  # elements whose derivative is taken
FITTED_ELEMENTS = 2  # of which so many are fitted


def unseen_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every tensor with a factor, every bias as a whole, then the likeliest elements, as far as they fit the layer."""
    for make in (_factors, _biases, _elements):
        try:
            yield from make(suspect)
        except IMPOSSIBLE:
            continue


def _factors(suspect: Suspect) -> Iterator[Hypothesis]:
    for name, own in own_tensors(suspect.module).items():
        if not own.count_nonzero():
            continue
        ratio = _fitted(suspect, name, _times, 1.0)
        cause = "noise" if name in NOISE else factor_cause(suspect, name, ratio) or "weight_value"
        yield _put(cause, name, f"{suspect.layer}.{name} is {number(1 / ratio)} times the original's", _times(ratio))


def _biases(suspect: Suspect) -> Iterator[Hypothesis]:
    """A whole bias, whose elements have a channel of the output each: one Gauss-Newton step for all of them, thrice."""
    own = own_tensors(suspect.module).get("bias")
    if own is None or own.ndim != 1 or suspect.expected.ndim < 2 or len(own) != suspect.expected.shape[1]:
        return
    axes = [axis for axis in range(suspect.expected.ndim) if axis != 1]
    bias, step = own, 1e-5
    for _ in range(3):
        output = _changed(suspect, "bias", _constant(bias))
        slope = (_changed(suspect, "bias", _constant(bias + step)) - output) / step
        bias = bias + ((suspect.expected - output) * slope).sum(axes) / slope.square().sum(axes)
    zero = not own.count_nonzero()
    words = "is all zeros; values for it give" if zero else "has other values, which give"
    detail = f"{suspect.layer}.bias {words} what the original gave"
    yield _put("bias_missing" if zero else "weight_value", "bias", detail, _constant(bias))


def _elements(suspect: Suspect) -> Iterator[Hypothesis]:
    """The elements that explain most of the residual, each fitted."""
    output = suspect.output()
    residual = (suspect.expected - output).flatten()
    scored = []
    for name, place in _likeliest(suspect):
        step = 1e-5
        derivative = (_changed(suspect, name, _element(place, step)) - output).flatten() / step
        norm = float(torch.linalg.vector_norm(derivative))
        if norm:
            scored.append((abs(float(derivative @ residual)) / norm, name, place))
    for _, name, place in sorted(scored, reverse=True)[:FITTED_ELEMENTS]:
        own = own_tensors(suspect.module)[name]
        before = float(own.flatten()[place])
        change = _fitted(suspect, name, partial(_element, place), 0.0)
        index = [int(i) for i in torch.unravel_index(torch.tensor(place), own.shape)]
        where = f"{index} (output channel {index[0]})" if index else ""
        detail = f"{suspect.layer}.{name}{where} is {number(before)}; {number(before + change)} gives what the original gave"
        yield _put("noise" if name in NOISE else "weight_value", name, detail, _element(place, change))


def _likeliest(suspect: Suspect) -> list[tuple[str, int]]:
    """(tensor, flat index) of the elements with the largest gradient for the power of what they multiply."""
    module = copy.deepcopy(suspect.module)
    parameters = {name: p for name, p in module.named_parameters() if p.is_floating_point()}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    with torch.enable_grad():
        loss = (suspect.call(module, suspect.args, suspect.kwargs) - suspect.expected).square().sum() / 2
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    chosen: list[tuple[str, int]] = []
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        if gradient is not None:
            score = (gradient.square() / _power(suspect, name, parameter)).flatten().nan_to_num(0.0)
            chosen += [(name, int(i)) for i in score.topk(min(CANDIDATES, score.numel())).indices]
    return chosen


def _power(suspect: Suspect, name: str, parameter: Tensor) -> Tensor:
    """About |d_k|^2 for every element k of a parameter, up to one factor a tensor: the power of what the element multiplies."""
    x = suspect.args[0]
    if name.rpartition(".")[2] != "weight" or parameter.ndim not in (2, 4):
        return torch.ones((), dtype=x.dtype, device=x.device)
    if parameter.ndim == 2:
        return x.square().flatten(0, -2).sum(0).clamp_min(1e-30)
    height, width = parameter.shape[2:]
    padded = F.pad(x.square().sum(0, keepdim=True), (width // 2, (width - 1) // 2, height // 2, (height - 1) // 2))
    windows = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)[:, :, :height, :width].sum((0, -2, -1))  # [I, kh, kw]
    if windows.shape[0] != parameter.shape[1]:  # depthwise
        windows = windows.repeat_interleave(parameter.shape[0] // windows.shape[0], 0)[:, None]
    return windows.clamp_min(1e-30)


def _fitted(suspect: Suspect, name: str, turn: Callable[[float], Callable[[Tensor], Tensor]], start: float) -> float:
    return fit(lambda values: _changed(suspect, name, turn(values[0])), [start], suspect.expected)[0][0]


def _times(ratio: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor * ratio


def _constant(value: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _: value


def _element(place: int, change: float) -> Callable[[Tensor], Tensor]:
    def put(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[place] += change
        return tensor

    return put


def _changed(suspect: Suspect, name: str, turn: Callable[[Tensor], Tensor]) -> Tensor:
    return _put("weight_value", name, "", turn).output(suspect)


def _put(cause: str, name: str, detail: str, turn: Callable[[Tensor], Tensor]) -> Hypothesis:
    def change(module: nn.Module) -> None:
        assign(module, name, turn(own_tensors(module)[name]).clone())

    return Hypothesis(cause, detail, evidence=FITTED, module=change)
