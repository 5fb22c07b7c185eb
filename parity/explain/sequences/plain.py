"""Recurrent layers written out plainly: a second opinion that shares nothing with a module.

Sources: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000 (LSTM); Cho et al. 2014 (GRU, the reset gate before the
recurrent product), and cuDNN's form of it with the reset gate behind that product, which `nn.GRU` and Keras's `reset_after=True` have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LSTM, GRU, SIMPLE = "ifgo", "zrn", "h"  # the gates of each kind, in Keras's order
SQUASHES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard sigmoid (x / 5 + 1 / 2)": lambda x: (float(np.float32(0.2)) * x + 0.5).clamp(0, 1),
    "hard sigmoid (x / 6 + 1 / 2)": lambda x: (x / 6 + 0.5).clamp(0, 1),
}


@dataclass(frozen=True)
class Form:
    """What a recurrent layer does: `gates` in their order in its tensors, which also tells its kind.

    `forget`: what is added to the forget gate; `after`: the reset gate stands behind the recurrent product; `keeps`: the update gate
    says how much of the old state is kept (Keras, PyTorch), and not how much is replaced; `squash` of the gates.
    """

    gates: str
    forget: float = 0.0
    after: bool = True
    keeps: bool = True
    squash: str = "sigmoid"


@dataclass(frozen=True)
class Weights:
    """The tensors of one direction: kernel [in, gates h], recurrent [h, gates h], and the biases of each [gates h]."""

    kernel: Tensor
    recurrent: Tensor
    bias: Tensor
    recurrent_bias: Tensor


def sequence(form: Form, weights: Weights, x: Tensor, state: Sequence[Tensor] = ()) -> Tensor:
    """The outputs [N, T, h] of all steps of `x` [N, T, in], from zeros or from `state` (h, and c of an LSTM)."""
    size = weights.recurrent.shape[0]
    h, c = (state[i] if i < len(state) else x.new_zeros(len(x), size) for i in (0, 1))
    step = {len(LSTM): _lstm, len(GRU): _gru, len(SIMPLE): _simple}[len(form.gates)]
    found = []
    for given in x.unbind(1):
        h, c = step(form, weights, given, h, c)
        found.append(h)
    return torch.stack(found, 1)


def _cut(form: Form, value: Tensor) -> dict[str, Tensor]:
    return dict(zip(form.gates, value.chunk(len(form.gates), -1), strict=True))


def _lstm(form: Form, w: Weights, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    gate, squash = _cut(form, x @ w.kernel + w.bias + h @ w.recurrent + w.recurrent_bias), SQUASHES[form.squash]
    c = squash(gate["f"] + form.forget) * c + squash(gate["i"]) * gate["g"].tanh()
    return squash(gate["o"]) * c.tanh(), c


def _gru(form: Form, w: Weights, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    given, back, squash = _cut(form, x @ w.kernel + w.bias), _cut(form, h @ w.recurrent + w.recurrent_bias), SQUASHES[form.squash]
    z, r = squash(given["z"] + back["z"]), squash(given["r"] + back["r"])
    if form.after:
        n = (given["n"] + r * back["n"]).tanh()
    else:
        n = (given["n"] + (r * h) @ _cut(form, w.recurrent)["n"] + _cut(form, w.recurrent_bias)["n"]).tanh()
    return (z * h + (1 - z) * n if form.keeps else (1 - z) * h + z * n), c


def _simple(form: Form, w: Weights, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return (x @ w.kernel + w.bias + h @ w.recurrent + w.recurrent_bias).tanh(), c
