"""What stands between a layer and the value that it is made from: an activation, then a crop, a pooling, or a resizing.

The code of a user's network is not known, but what went in and what came out is. What the port did is recognised by its value, and what
the original did by the layer behind, which must then give the original's output.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE, Arguments, Hypothesis
from stylexport.parity.explain.spatial.borders import Border, borders, padded
from stylexport.parity.explain.spatial.pooling import poolings
from stylexport.parity.explain.spatial.resizing import resizings, scales
from stylexport.parity.explain.suspect import Source, Suspect
from stylexport.parity.verdict import EXACT
from stylexport.parity.windows import Window
from stylexport.torch_models.layers.activations import ACTIVATIONS

CROPS = 36  # places of a crop, at most
CAUSE = {"crop": "padding", "pooling": "pooling", "resizing": "resizing"}


@dataclass(frozen=True)
class Step:
    """One thing done to a tensor: its kind, in words, and the function; `kind` is "" for nothing at all."""

    kind: str
    words: str
    run: Callable[[Tensor], Tensor]


def between_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every usual way from the values before to what the layer takes, other than the port's."""
    if not suspect.args or not isinstance(suspect.args[0], Tensor) or suspect.args[0].ndim < 3:
        return
    x = suspect.args[0]
    for source in suspect.sources:
        if source.exact.ndim == x.ndim and source.exact.shape[1] == x.shape[1] and min(len(source.exact), len(source.handed)) >= len(x):
            for border in borders(x, _reach(suspect)):
                yield from _ways(suspect, source, border, x)


def _reach(suspect: Suspect) -> list[int]:
    """The widest border that a layer's input may have: one less than its kernel."""
    module: Any = suspect.module
    axes = suspect.args[0].ndim - 2
    kernel = getattr(module, "kernel_size", (1,) * axes)
    return [max(k - 1, 0) for k in kernel] if isinstance(kernel, tuple) and len(kernel) == axes else [0] * axes


def _ways(suspect: Suspect, source: Source, border: Border, x: Tensor) -> Iterator[Hypothesis]:
    inner = border.inside(x)
    handed, exact = source.handed[: len(x)], source.exact[: len(x)]
    own = _recognised(handed, inner)
    for name in ACTIVATIONS if own is None else (own[0],):  # a value that the port changes in a way of its own is not named
        for step in _steps(exact, inner.shape[2:]):
            if step.kind == "" and source.window is not None:
                step = replace(step, kind="crop", words=_cut(source.window))
            if step.kind if own is None else step.words != own[1].words:
                yield _hypothesis(suspect, source, border, own, name, step)
    if own is not None and own[1].kind == "":
        for name in ACTIVATIONS:
            if name != own[0]:
                yield _hypothesis(suspect, source, border, own, name, own[1])


def _recognised(handed: Tensor, inner: Tensor) -> tuple[str, Step] | None:
    """What the port did, an activation's name and a step; None where it is nothing usual."""
    few, wanted = handed[:1], inner[:1]
    for name, make in ACTIVATIONS.items():
        activated = make(0.2)(few)
        for step in _steps(activated, inner.shape[2:], nearly=False):
            try:
                if finite_error(step.run(activated), wanted) <= EXACT / 10:
                    return name, step
            except IMPOSSIBLE:
                continue
    return None


def _steps(value: Tensor, size: Sequence[int], nearly: bool = True) -> Iterator[Step]:
    """What may make a tensor of about this size of `value`; exactly this size where not `nearly`."""
    have = tuple(value.shape[2:])
    if have == tuple(size):
        yield Step("", "takes it as it is", lambda t: t)
    elif all(a >= b for a, b in zip(have, size, strict=True)):
        places = itertools.product(*(range(a - b + 1) for a, b in zip(have, size, strict=True)))
        for start in itertools.islice(places, CROPS):
            window = Window(start, tuple(size), (1,) * len(start))
            yield Step("crop", _cut(window), window.of)
    if nearly and have != tuple(size) and all(abs(a - b) <= 2 for a, b in zip(have, size, strict=True)):
        yield Step("crop", "cuts nothing off it", lambda t: t)
    if all(a <= 2 * b + 8 or b > 1 for a, b in zip(have, size, strict=True)):
        for pooling in poolings():
            there = pooling.size(have)
            if there == tuple(size) or (nearly and all(abs(a - b) <= 1 for a, b in zip(there, size, strict=True))):
                yield Step("pooling", f"applies {pooling}", pooling)
    if scales(have, size):
        for resizing in resizings():
            yield Step("resizing", f"resizes it by {resizing}", partial(resizing, size=tuple(size)))


def _cut(window: Window) -> str:
    return f"cuts {window.size} values of it from {window.start} on"


def _hypothesis(suspect: Suspect, source: Source, border: Border, own: tuple[str, Step] | None, activation: str, step: Step) -> Hypothesis:
    def arguments(args: Arguments) -> Arguments:
        value = source.exact[: len(args[0])]
        return (padded(step.run(ACTIVATIONS[activation](0.2)(value)), border.pads, border.mode), *args[1:])

    activated = own is not None and own[0] != activation
    kind = step.kind or (own[1].kind if own else "")
    cause = "activation" if activated or not kind else CAUSE[kind]
    before, original = f"between {source.layer} and {suspect.layer}", _in_words(activation, step, activated)
    port = "does something else" if own is None else _in_words(*own, activated)
    remedy = "in the code between the two, do what the original does"
    return Hypothesis(cause, f"{before} the port {port}; the original {original}", remedy, arguments=arguments)


def _in_words(activation: str, step: Step, activated: bool) -> str:
    """What is done; the activation is named where it matters."""
    if not activated:
        return step.words
    first = "applies no activation" if activation == "linear" else f"applies {activation}"
    return first if not step.kind else f"{first}, then {step.words}"
