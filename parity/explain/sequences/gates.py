"""Mistakes in a recurrent layer: its plain form, which gives what the original gave, is changed in one or two places until it errs as the
port does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.code_changes import CodeChange
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE
from stylexport.parity.explain.sequences.arranged import Layers, Run, arrangements
from stylexport.parity.explain.sequences.plain import GRU, LSTM, SIMPLE, SQUASHES, Form, Weights
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT

STAGES = ("recurrence", "state")
FEW = 2  # samples that a form is tried on
_KERAS = {"g": "c", "n": "h"}  # what Keras calls a gate
_FORGET = (0.0, 1.0)


def recurrent_changes(suspect: Suspect, wrong: Tensor) -> Iterator[CodeChange]:
    """Every mistake of a recurrent layer that may give `wrong`, the most specific first; none where its plain form is not found."""
    if suspect.stage not in STAGES or wrong.shape != suspect.expected.shape:
        return
    yield from _of_directions(suspect.expected)
    if (found := _plain(suspect)) is None:
        return
    run, form, layers = found

    def change(cause: str, detail: str, output: Callable[[], Tensor]) -> CodeChange:
        return CodeChange(cause, detail, output, lambda whole: _few(whole, run))

    if any(len(layer) > 1 for layer in layers):
        swapped = [layer[::-1] for layer in layers]
        yield change("direction", "the tensors of the two directions are swapped", partial(run.output, form, swapped))
    for other in _other_forms(form):
        yield change(*_words(form, other), partial(run.output, other, layers))
    yield change("direction", "the steps run in the other direction", partial(run.output, form, layers, backwards=True))
    for name in ("bias", "recurrent_bias"):
        if any(getattr(weights, name).any() for layer in layers for weights in layer):
            yield change("bias_missing", f"leaves the {name.replace('_', ' ')} out", partial(run.output, form, _without(layers, name)))


def _of_directions(expected: Tensor) -> Iterator[CodeChange]:
    """What a layer's results may be mistaken for: the two directions swapped, or their steps in another order."""
    half = expected.shape[-1] // 2
    first, second = expected[..., :half], expected[..., half:]
    if expected.shape[-1] == 2 * half:
        yield CodeChange("direction", "the two directions are swapped where they are joined", lambda: _join(second, first))
    if expected.ndim == 3:
        yield CodeChange("direction", "its steps stand in reverse order", lambda: expected.flip(1))
        if expected.shape[-1] == 2 * half:
            said = "the second direction's steps stand in the order in which they ran, and not in that of the input"
            yield CodeChange("direction", said, lambda: _join(first, second.flip(1)))


def _join(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second], -1)


def _few(whole: Tensor, run: Run) -> Tensor:
    return whole[:, : len(run.x)] if run.steps_first and not run.last else whole[: len(run.x)]


def _plain(suspect: Suspect) -> tuple[Run, Form, Layers] | None:
    """The form that gives what the original gave, and its tensors."""
    for run in _runs(suspect):
        expected = _few(suspect.expected, run)
        for gates in (LSTM, GRU, SIMPLE):
            for layers in arrangements(suspect.weights, run.x.shape[-1], expected.shape[-1], len(gates)):
                directions = [layers, [layer[::-1] for layer in layers]] if any(len(layer) > 1 for layer in layers) else [layers]
                for form, taken in itertools.product(_forms(gates), directions):
                    try:
                        if finite_error(run.output(form, taken), expected) <= EXACT:
                            return run, form, taken
                    except IMPOSSIBLE:
                        break
    return None


def _runs(suspect: Suspect) -> Iterator[Run]:
    """How the arguments may be meant: a sequence with its samples or its steps first, or one step of a cell with its state."""
    x = next((value for value in suspect.args if isinstance(value, Tensor)), None)
    if x is None:
        return
    steps_first = isinstance(suspect.module, nn.RNNBase) and not suspect.module.batch_first
    last = suspect.expected.ndim == 2
    if x.ndim == 3:
        for first in (steps_first, not steps_first):
            given = x.transpose(0, 1) if first else x
            if last or suspect.expected.shape[:2] == x.shape[:2]:
                yield Run(given[:FEW], (), last, first)
                if not first:
                    yield Run(given[:FEW].flip(1), (), last, first)  # an original that goes backwards
    elif x.ndim == 2 and last:
        state = suspect.args[1] if len(suspect.args) > 1 else suspect.kwargs.get("hx")
        values = state if isinstance(state, tuple | list) else () if state is None else (state,)
        yield Run(x[:FEW, None], tuple(value[:FEW] for value in values if isinstance(value, Tensor)), True, False)


def _forms(gates: str) -> Iterator[Form]:
    """All forms of a kind, the usual ones first."""
    kinds = [Form(gates)]
    if gates == LSTM:
        kinds = [Form(gates, forget=forget, squash=squash) for squash in SQUASHES for forget in _FORGET]
    elif gates == GRU:
        kinds = [Form(gates, after=after, keeps=keeps, squash=q) for q in SQUASHES for keeps in (True, False) for after in (True, False)]
    for order in itertools.permutations(gates):
        for form in kinds:
            yield replace(form, gates="".join(order))


def _other_forms(form: Form) -> Iterator[Form]:
    """Forms with one thing changed, then with two."""
    orders = [replace(form, gates="".join(order)) for order in itertools.permutations(form.gates) if "".join(order) != form.gates]
    others = [replace(form, squash=squash) for squash in SQUASHES if squash != form.squash]
    if len(form.gates) == len(LSTM):
        others += [replace(form, forget=forget) for forget in (*_FORGET, -form.forget, 2 * form.forget) if forget != form.forget]
    elif len(form.gates) == len(GRU):
        others += [replace(form, after=not form.after), replace(form, keeps=not form.keeps)]
    else:
        others = []
    yield from (*others, *orders)
    for other, order in itertools.product(others, orders):
        yield replace(other, gates=order.gates)


def _words(form: Form, other: Form) -> tuple[str, str]:
    """The cause and the sentence of a form that stands for another."""
    said: dict[str, str] = {}
    if other.gates != form.gates:
        right = ", ".join(_KERAS.get(gate, gate) for gate in form.gates)
        said["gate_order"] = f"gates in the order {', '.join(other.gates)} instead of {right}"
    if other.after != form.after:
        places = "before the recurrent product instead of after it", "after the recurrent product instead of before it"
        said["reset_gate"] = f"the reset gate is applied {places[form.after is False]}"
    if other.keeps != form.keeps:
        said["update_gate"] = "the update gate keeps what the original replaces: z and 1 - z are swapped"
    if other.forget != form.forget:
        said["forget_bias"] = f"{other.forget:g} is added to the forget gate instead of {form.forget:g}"
    if other.squash != form.squash:
        said["activation"] = f"the gates have a {other.squash} instead of a {form.squash}"
    return next(iter(said)), "; ".join(said.values())


def _without(layers: Layers, name: str) -> Layers:
    def zeroed(weights: Weights) -> Weights:
        return replace(weights, **{name: 0 * getattr(weights, name)})

    return [[zeroed(weights) for weights in layer] for layer in layers]
