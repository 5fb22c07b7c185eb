"""Hypotheses whose number is fitted to the activations: a constant of the layer, of its plain form, or the range of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from stylexport.parity.explain.formulas import minibatch_std
from stylexport.parity.explain.hypotheses.attribute_hypotheses import Dial, dials
from stylexport.parity.explain.hypotheses.code import Break, dials_of
from stylexport.parity.explain.hypotheses.fit import fit
from stylexport.parity.explain.hypotheses.forms import Form, speaking_form
from stylexport.parity.explain.hypotheses.hypothesis import FITTED, IMPOSSIBLE, Hypothesis, is_image, number
from stylexport.parity.explain.hypotheses.weight_hypotheses import factor_cause
from stylexport.parity.explain.suspect import Suspect


def fitted_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every continuous constant of the layer turned to where it fits best, and the range of an image."""
    for dial in dials(suspect):
        if dial.fitted and isinstance(dial.value, float | int):
            yield from _dial(suspect, dial)
    if is_image(suspect):
        yield from _range(suspect)
    yield from _scale(suspect)


def fitted_breaks(suspect: Suspect, wrong: Tensor) -> Iterator[Break]:
    """Every number of the layer's plain form turned until the form errs as the port does."""
    form = speaking_form(suspect, wrong)
    if form is None:
        return
    for cause, name, before in dials_of(form):
        yield from _fact(form, cause, name, before, wrong)
    if "strength" in form.facts and form.facts["slope"] > 0:
        yield _noise(form, form.part(wrong))
    if form.formula is minibatch_std and wrong.shape == suspect.expected.shape:
        channel = torch.cat([suspect.expected[:, :-1], wrong[:, -1:]], 1)
        yield Break("mbstd", "the last channel is something else than the deviation", lambda: channel)


def _dial(suspect: Suspect, dial: Dial) -> Iterator[Hypothesis]:
    try:
        values, _ = fit(lambda v: dial.hypothesis(v[0]).output(suspect), [float(dial.value)], suspect.expected)
    except IMPOSSIBLE:
        return
    if values[0] != dial.value:
        yield dial.hypothesis(values[0], FITTED)


def _fact(form: Form, cause: str, name: str, before: float, wrong: Tensor) -> Iterator[Break]:
    try:
        values, _ = fit(lambda v: form.output(**{name: v[0]}), [before], form.part(wrong))
    except IMPOSSIBLE:
        return
    detail = f"the code behaves as if its {name} were {number(values[0])}; the original's is {number(before)}"
    yield Break(cause, detail, partial(form.output, **{name: values[0]}), form.part)


def _scale(suspect: Suspect) -> Iterator[Hypothesis]:
    """A factor on what comes in, which is one on the weight as well."""
    first = is_image(suspect) or suspect.layer == "mapping.fc0"

    def put(factor: float) -> Hypothesis:
        meant = factor_cause(suspect, "weight", factor) or "gain"
        cause = "input_range" if first and meant == "gain" else meant
        detail = f"what comes in, or the weight, is {number(1 / factor)} times the original's"
        return Hypothesis(cause, detail, evidence=FITTED, arguments=lambda args: (args[0] * factor, *args[1:]))

    try:
        yield put(fit(lambda v: put(v[0]).output(suspect), [1.0], suspect.expected)[0][0])
    except IMPOSSIBLE:
        return


def _noise(form: Form, wrong: Tensor) -> Break:
    """The one noise image a sample that all channels of what the port gives have in common: a fresh one, or another layer's."""
    slope, gain = form.facts["slope"], form.facts["gain"]
    added = torch.where(wrong > 0, wrong, wrong / slope) / gain - form.output(noise=None, slope=1.0, gain=1.0)
    image = added.mean(1, keepdim=True)
    return Break(
        "noise", "the code adds another noise image than the released one", partial(form.output, noise=image, strength=1.0), form.part
    )


def _range(suspect: Suspect) -> Iterator[Hypothesis]:
    """A scale and a shift for each channel of the image."""
    x = suspect.args[0]
    channels = x.shape[1]

    def put(values: Sequence[float]) -> Hypothesis:
        scale, shift = (torch.tensor(v, dtype=x.dtype, device=x.device)[:, None, None] for v in (values[:channels], values[channels:]))
        shown = ", ".join(
            f"{number(a)} x {'-' if b < 0 else '+'} {number(abs(b))}" for a, b in zip(values[:channels], values[channels:], strict=True)
        )
        detail = f"the original's input is this one scaled and shifted, channel by channel: {shown}"
        return Hypothesis("input_range", detail, evidence=FITTED, arguments=lambda args: (args[0] * scale + shift, *args[1:]))

    try:
        yield put(fit(lambda v: put(v).output(suspect), [1.0] * channels + [0.0] * channels, suspect.expected)[0])
    except IMPOSSIBLE:
        return
