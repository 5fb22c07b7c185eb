"""Tensors of the original that a module answers for although no name says so: their values tell."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from torch import Tensor

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.difference import SAME_TENSOR
from stylexport.parity.match.calls import Answer
from stylexport.parity.original import Original

ACTIVATION = "activation"
ACTIVATIONS = frozenset("Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh Softplus".split())


def of_this_value(original: Original, taps: Iterable[RecordedTap], value: Tensor, claimed: Collection[str]) -> Answer | None:
    """The first of `taps` that has this value, up to its layout; `claimed` names the tensors that others answer for."""
    for tap in taps:
        if tap.tensor in claimed or math.prod(tap.shape[1:]) != value[:1].numel():
            continue
        if (compared := original.compare(tap, value)) and compared[0].error <= SAME_TENSOR:
            return Answer(0, tap, *compared)
    return None


def of_an_activation(original: Original, call: Iterable[RecordedTap], value: Tensor) -> Answer | None:
    """The tap behind the activation of a layer's call, for the value of an activation module that took what the call gave."""
    for tap in call:
        if tap.stage == ACTIVATION and tap.op in ACTIVATIONS and (compared := original.compare(tap, value)):
            return Answer(0, tap, *compared)
    return None
