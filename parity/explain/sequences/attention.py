"""Mistakes in an attention: the scale of its scores, its heads, the axis of its softmax, its operands.

Attention is softmax(q k^T s) v for each head, with s = 1 / sqrt(width of a head) (Vaswani et al. 2017, "Attention is all you need",
section 3.2.1). It has no weights of its own: a mistake shows at the layer that takes its result, or at the module that holds it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.code_changes import CodeChange
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT

FEW = 2  # samples that a form is tried on
_NAMES = ("q", "k", "v")


@dataclass(frozen=True)
class Form:
    """What an attention does with q, k and v [N, T, heads d]: `scale` of the scores; `over`: the axis of the softmax, keys or queries."""

    heads: int
    scale: float
    over: str = "keys"
    operands: tuple[int, ...] = (0, 1, 2)

    def run(self, values: tuple[Tensor, ...]) -> Tensor:
        """The result [N, T, heads d] for q, k and v [N, T, heads d]."""
        q, k, v = (value.reshape(*value.shape[:2], self.heads, -1).transpose(1, 2) for value in (values[i] for i in self.operands))
        scores = (q @ k.transpose(-1, -2) * self.scale).softmax(-1 if self.over == "keys" else -2)
        return (scores @ v).transpose(1, 2).flatten(2)


def attention_changes(suspect: Suspect, wrong: Tensor) -> Iterator[CodeChange]:
    """Every mistake of an attention that may give `wrong`; none where its plain form does not give what the original gave."""
    if wrong.shape != suspect.expected.shape or wrong.ndim != 3:
        return
    for values, output in _operands(suspect):
        for form in _forms(values):
            try:
                right = finite_error(output(form.run(values)), suspect.expected[:FEW]) <= EXACT
            except IMPOSSIBLE:
                break
            if right:
                for other in _other_forms(form, values):
                    detail = _words(form, other)
                    yield CodeChange("attention", detail, partial(_result, output, other, values), lambda whole: whole[:FEW])
                return


def _result(output: nn.Module | partial[Tensor], form: Form, values: tuple[Tensor, ...]) -> Tensor:
    found: Tensor = output(form.run(values))
    return found


def _operands(suspect: Suspect) -> Iterator[tuple[tuple[Tensor, ...], partial[Tensor]]]:
    """q, k and v in some order, and what follows the attention."""
    module = suspect.module
    if isinstance(module, nn.MultiheadAttention):
        if (given := _projected(suspect, module)) is not None:
            yield given
        return
    x = suspect.args[0] if suspect.args and isinstance(suspect.args[0], Tensor) else None
    if x is None or x.ndim != 3:
        return
    before: list[Tensor] = []
    for value in (source.exact[:FEW] for source in suspect.sources if source.exact.ndim > 2 and source.exact.shape[:2] == x.shape[:2]):
        whole = value.flatten(2)
        if whole.shape[-1] in (x.shape[-1], 3 * x.shape[-1]):  # one of the operands, or all three side by side
            before += [whole] if whole.shape[-1] == x.shape[-1] else whole.chunk(3, -1)
    before = before[:4]

    def output(value: Tensor) -> Tensor:
        return suspect.output(args=(value, *suspect.args[1:]))[:FEW]

    for values in itertools.permutations(before, 3):
        yield values, partial(output)


def _projected(suspect: Suspect, module: nn.MultiheadAttention) -> tuple[tuple[Tensor, ...], partial[Tensor]] | None:
    """The operands of `nn.MultiheadAttention` before they are cut into heads."""
    given = [value if module.batch_first else value.transpose(0, 1) for value in suspect.args[:3] if isinstance(value, Tensor)]
    if len(given) != 3 or module.in_proj_weight is None or given[0].ndim != 3:
        return None
    weights = module.in_proj_weight.chunk(3)
    biases = module.in_proj_bias.chunk(3) if module.in_proj_bias is not None else (0.0,) * 3
    values = tuple(value[:FEW] @ weight.T + bias for value, weight, bias in zip(given, weights, biases, strict=True))
    return values, partial(module.out_proj.forward)


def _forms(values: tuple[Tensor, ...]) -> Iterator[Form]:
    width = values[0].shape[-1]
    for heads in (n for n in range(1, width + 1) if width % n == 0):
        for scale in (1 / math.sqrt(width // heads), 1.0):
            yield Form(heads, scale)


def _other_forms(form: Form, values: tuple[Tensor, ...]) -> Iterator[Form]:
    width, steps = values[0].shape[-1], values[0].shape[1]
    each = width // form.heads
    numbers = (1.0, 1 / math.sqrt(each), 1 / math.sqrt(width), 1 / each, 1 / width, math.sqrt(each), 1 / math.sqrt(form.heads), each**-0.25)
    scales = [scale for scale in (*numbers, 1 / math.sqrt(steps), 0.125) if not math.isclose(scale, form.scale)]
    yield from (replace(form, scale=scale) for scale in dict.fromkeys(scales))
    yield replace(form, over="queries")
    for heads in (n for n in range(1, width + 1) if width % n == 0 and n != form.heads):
        yield from (replace(form, heads=heads, scale=scale) for scale in dict.fromkeys((1 / math.sqrt(width // heads), form.scale)))
    for operands in itertools.permutations(range(3)):
        if operands != form.operands:
            yield replace(form, operands=operands)


def _words(form: Form, other: Form) -> str:
    if other.operands != form.operands:
        return f"{', '.join(_NAMES[i] for i in other.operands)} stand in the places of q, k, v"
    if other.over != form.over:
        return "the softmax runs over the queries instead of the keys"
    said = f"its scores are multiplied by {other.scale:.6g} instead of {form.scale:.6g}"
    if other.heads != form.heads:
        said = f"it has {other.heads} heads instead of {form.heads}" + ("" if math.isclose(other.scale, form.scale) else f", and {said}")
    return said
