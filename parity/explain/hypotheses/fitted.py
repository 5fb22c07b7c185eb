"""Hypotheses whose number is fitted to the activations: a constant of the layer, the range of an image, a noise image.

They name what no table of usual values holds, such as the epsilon 0.002 of a user's own BatchNorm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.attribute_hypotheses import Constant, constants
from stylexport.parity.explain.hypotheses.code_changes import CodeChange
from stylexport.parity.explain.hypotheses.hypothesis import FITTED, IMPOSSIBLE, Hypothesis, is_image, number
from stylexport.parity.explain.hypotheses.layer_formulas import LayerFormula, valid_formula
from stylexport.parity.explain.suspect import Suspect

ENOUGH = 1e-11


def fitted_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every continuous constant of the layer at the value that fits best, and the range of an image."""
    for constant in constants(suspect):
        if constant.fitted and isinstance(constant.value, float | int):
            yield from _constant(suspect, constant)
    if is_image(suspect):
        yield from _range(suspect)


def fitted_changes(suspect: Suspect, wrong: Tensor) -> Iterator[CodeChange]:
    """The noise image that a synthesis layer adds in place of the released one."""
    formula = valid_formula(suspect, wrong)
    if formula is not None and "strength" in formula.facts and formula.facts["slope"] > 0:
        yield _noise(formula, formula.part(wrong))


def fit(run: Callable[[Sequence[float]], Tensor], start: Sequence[float], target: Tensor, rounds: int = 8) -> tuple[list[float], float]:
    """The numbers from `start` onwards that bring `run` nearest to `target`, and |run - target| / |target| there.

    Gauss-Newton with differences for derivatives. A step that does not help is halved four times before the search ends. Raises what
    `run` raises at the start.
    """
    values = list(map(float, start))
    output = run(values)
    error = finite_error(output, target)
    for _ in range(rounds):
        if error <= ENOUGH or error == float("inf"):
            break
        columns = []
        for i, value in enumerate(values):
            step = abs(value) * 1e-5 or 1e-5
            moved = run([*values[:i], value + step, *values[i + 1 :]])
            columns.append((moved - output).flatten() / step)
        slopes = torch.stack(columns, 1)
        scale = torch.linalg.vector_norm(slopes, dim=0)
        if not bool((scale.isfinite() & (scale > 0)).all()):
            break
        normal = slopes / scale
        change = torch.linalg.lstsq(normal.T @ normal, normal.T @ (target - output).flatten()[:, None]).solution[:, 0] / scale
        for halvings in range(5):
            tried = [value + float(delta) / 2**halvings for value, delta in zip(values, change, strict=True)]
            found = run(tried)
            if finite_error(found, target) < error:
                values, output, error = tried, found, finite_error(found, target)
                break
        else:
            break
    return values, error


def _constant(suspect: Suspect, constant: Constant) -> Iterator[Hypothesis]:
    try:
        values, _ = fit(lambda v: constant.hypothesis(v[0]).output(suspect), [float(constant.value)], suspect.expected)
    except IMPOSSIBLE:
        return
    if values[0] != constant.value:
        yield constant.hypothesis(values[0], FITTED)


def _noise(formula: LayerFormula, wrong: Tensor) -> CodeChange:
    """One noise image a sample, which all channels of the port's output have in common: a fresh one, or another layer's."""
    slope, gain = formula.facts["slope"], formula.facts["gain"]
    added = torch.where(wrong > 0, wrong, wrong / slope) / gain - formula.output(noise=None, slope=1.0, gain=1.0)
    image = added.mean(1, keepdim=True)
    detail = "the code adds another noise image than the released one"
    return CodeChange("noise", detail, partial(formula.output, noise=image, strength=1.0), formula.part)


def _range(suspect: Suspect) -> Iterator[Hypothesis]:
    """A scale and a shift for each channel of the image."""
    x = suspect.args[0]
    channels = x.shape[1]

    def scaled(values: Sequence[float]) -> Hypothesis:
        scale, shift = (torch.tensor(v, dtype=x.dtype, device=x.device)[:, None, None] for v in (values[:channels], values[channels:]))
        shown = ", ".join(
            f"{number(a)} x {'-' if b < 0 else '+'} {number(abs(b))}" for a, b in zip(values[:channels], values[channels:], strict=True)
        )
        detail = f"the original's input is this one scaled and shifted, channel by channel: {shown}"
        return Hypothesis("input_range", detail, evidence=FITTED, arguments=lambda args: (args[0] * scale + shift, *args[1:]))

    try:
        yield scaled(fit(lambda v: scaled(v).output(suspect), [1.0] * channels + [0.0] * channels, suspect.expected)[0])
    except IMPOSSIBLE:
        return
