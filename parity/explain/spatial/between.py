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

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvTransposeNd

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE, Arguments, Hypothesis
from stylexport.parity.explain.spatial.borders import Border, borders, by_axis, padded
from stylexport.parity.explain.spatial.pooling import poolings
from stylexport.parity.explain.spatial.resizing import resizings, scales
from stylexport.parity.explain.suspect import Source, Suspect
from stylexport.parity.verdict import EXACT
from stylexport.parity.windows import Window
from stylexport.torch_models.layers.activations import ACTIVATIONS

PLACES = 36  # of a crop or a border, at most
FIRST = ("linear", "relu")  # activations before a step behind which another one is looked for
CAUSE = {"": "activation", "crop": "padding", "border": "padding", "pooling": "pooling", "resizing": "resizing"}


@dataclass(frozen=True)
class Step:
    """One thing done to a tensor: its kind ("" for nothing at all), in words, and the function."""

    kind: str
    words: str
    run: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Way:
    """What is done to a value: an activation, a step, and another activation, by their names."""

    before: str
    step: Step
    behind: str = "linear"

    def __call__(self, value: Tensor) -> Tensor:
        """The value at the way's end."""
        return _activated(self.behind, self.step.run(_activated(self.before, value)))

    def differs(self, other: Way) -> str:
        """The kind of the one thing in which two ways differ."""
        return "" if (self.before, self.behind) != (other.before, other.behind) else self.step.kind or other.step.kind

    def in_words(self, kind: str) -> str:
        """What is done; the activations are named where they are what differs."""
        if kind:
            return self.step.words
        parts = [f"applies {self.before}"] * (self.before != "linear") + [self.step.words] * bool(self.step.kind)
        parts += [f"applies {self.behind}"] * (self.behind != "linear")
        return ", then ".join(parts) or "applies no activation"


def between_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every usual way from the values before to what the layer takes that differs from the port's in one thing.

    What the port does must be recognised: else nothing could be said of what it does otherwise.
    """
    if not suspect.args or not isinstance(suspect.args[0], Tensor) or suspect.args[0].ndim < 3:
        return
    x = suspect.args[0]
    fitting = [s for s in suspect.sources if s.exact.ndim == x.ndim and min(len(s.exact), len(s.handed)) >= len(x)]
    for source, border in itertools.product(fitting, borders(x, _reach(suspect))):
        for channels in _channels(source, x):
            inner = border.inside(x)[:, channels]
            value, found = source, _recognised(source.handed[:1], inner[:1])
            if not found and source.window is not None and (found := _recognised(source.exact[:1], inner[:1])):
                value = replace(source, handed=source.exact, window=None)  # the port cuts it rightly, and then goes on
            for own in found:
                for way in _others(suspect, value, inner, own):
                    yield _hypothesis(suspect, value, border, channels, own, way)
            if not found:
                yield from _cut_elsewhere(suspect, source, border, channels, inner)


def _cut_elsewhere(suspect: Suspect, source: Source, border: Border, channels: slice, inner: Tensor) -> Iterator[Hypothesis]:
    """A crop at another place than the original's, and then something usual."""
    if source.window is None:
        return
    room = [range(have - n + 1) for have, n in zip(_size(source.handed), source.window.size, strict=True)]
    for start in itertools.islice(itertools.product(*room), PLACES):
        cut = replace(source.window, start=start)
        for way in _recognised(cut.of(source.handed[:1]), inner[:1]) if start != source.window.start else ():
            ours, theirs = (Way("linear", Step("crop", _cut(place), place.of)) for place in (cut, source.window))
            found = _hypothesis(suspect, source, border, channels, ours, way)
            before, _, _ = found.detail.partition(" the port ")
            said = f"{before} the port {ours.step.words}; the original {theirs.step.words}"
            yield replace(found, cause=CAUSE["crop"], detail=said)


def _channels(source: Source, x: Tensor) -> list[slice]:
    """Where a value may stand in what the layer takes: it is all of it, or the first or the last part of several that were joined."""
    own, all_of_them = source.exact.shape[1], x.shape[1]
    if own > all_of_them:
        return []
    return [slice(0, own)] if own == all_of_them else [slice(0, own), slice(all_of_them - own, all_of_them)]


def _reach(suspect: Suspect) -> list[int]:
    """The widest border that a layer's input may have: one less than its kernel."""
    module: Any = suspect.module
    axes = suspect.args[0].ndim - 2
    kernel = getattr(module, "kernel_size", (1,) * axes)
    return [max(k - 1, 0) for k in kernel] if isinstance(kernel, tuple) and len(kernel) == axes else [0] * axes


def _recognised(handed: Tensor, inner: Tensor) -> list[Way]:
    """What the port may have done: at most two ways, because a ReLU before a maximum of positive numbers does not show."""
    found: dict[str, Way] = {}
    steps = [*_steps(handed, inner.shape[2:]), *_bordered(handed, inner.shape[2:])]
    ways = itertools.chain(
        (Way(before, step) for before in ACTIVATIONS for step in steps),
        (Way(before, step, behind) for before in FIRST for step in steps if step.kind for behind in ACTIVATIONS),
    )
    for way in ways:
        try:
            if way.before not in found and finite_error(way(handed), inner) <= EXACT / 10:
                found[way.before] = way
        except IMPOSSIBLE:
            continue
        if len(found) == 2:
            break
    return list(found.values())


def _others(suspect: Suspect, source: Source, inner: Tensor, own: Way) -> Iterator[Way]:
    """The ways that differ from the port's in one thing."""
    same_shape = source.exact.shape == source.handed.shape
    sizes = _sizes(suspect, inner) + ([] if same_shape or own.step.kind else [_size(source.exact)])
    for size in dict.fromkeys(sizes):
        for step in _steps(source.exact, size):
            if step.kind == "" and not same_shape:
                step = Step("crop", "takes all of it" if source.window is None else _cut(source.window), step.run)
            if step.words != own.step.words and (step.kind != "pooling" or own.step.kind == "pooling" or size != _size(source.handed)):
                yield replace(own, step=step)
    for name in ACTIVATIONS if same_shape else ():  # else two things would differ
        if name != own.before:
            yield replace(own, before=name)
        if name != own.behind and own.step.kind:
            yield replace(own, behind=name)


def _sizes(suspect: Suspect, inner: Tensor) -> list[tuple[int, ...]]:
    """What the layer's input may have been: as large as it is, or as its output asks for where that has another shape."""
    module: Any = suspect.module
    have = tuple(inner.shape[2:])
    stride = getattr(module, "stride", 1)
    strides = stride if isinstance(stride, tuple) and len(stride) == len(have) else (1,) * len(have)
    sizes = [have]
    lacking: list[int] = []
    if suspect.given.ndim == suspect.expected.ndim == inner.ndim:
        lacking = [b - a for a, b in zip(suspect.given.shape[2:], suspect.expected.shape[2:], strict=True)]
        scale = (lambda d, s: round(d / s)) if isinstance(module, _ConvTransposeNd) else (lambda d, s: d * s)
        least = tuple(n + scale(d, s) for n, d, s in zip(have, lacking, strides, strict=True))
        slack = range(max(strides)) if not isinstance(module, _ConvTransposeNd) else range(1)
        sizes += [tuple(n + (more if d else 0) for n, d in zip(least, lacking, strict=True)) for more in slack]
    return [size for size in dict.fromkeys(sizes) if min(size) > 0 and not (size == have and max(lacking, default=0) > 0)]


def _steps(value: Tensor, size: Sequence[int]) -> Iterator[Step]:
    """What may make a tensor of this size of `value`."""
    have = tuple(value.shape[2:])
    if have == tuple(size):
        yield Step("", "takes it as it is", lambda t: t)
    elif all(a >= b for a, b in zip(have, size, strict=True)):
        places = itertools.product(*(range(a - b + 1) for a, b in zip(have, size, strict=True)))
        for start in itertools.islice(places, PLACES):
            window = Window(start, tuple(size), (1,) * len(start))
            yield Step("crop", _cut(window), window.of)
    for pooling in poolings():
        if pooling.size(have) == tuple(size):
            yield Step("pooling", f"applies {pooling}", pooling)
    if scales(have, size):
        for resizing in resizings():
            yield Step("resizing", f"resizes it by {resizing}", partial(resizing, size=tuple(size)))


def _bordered(value: Tensor, size: Sequence[int]) -> Iterator[Step]:
    """Zeros put round `value`, to make a tensor of this size."""
    lacking = [b - a for a, b in zip(value.shape[2:], size, strict=True)]
    if min(lacking) >= 0 and any(lacking):
        for before in itertools.islice(itertools.product(*(range(n + 1) for n in lacking)), PLACES):
            pads = tuple((a, n - a) for a, n in zip(before, lacking, strict=True))
            yield Step("border", f"puts zeros round it, {by_axis(pads)} (before, after)", partial(padded, pads=pads))


def _size(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape[2:])


def _activated(name: str, value: Tensor) -> Tensor:
    return value if name == "linear" else ACTIVATIONS[name](0.2)(value)


def _cut(window: Window) -> str:
    return f"cuts {window.size} values of it from {window.start} on"


def _hypothesis(suspect: Suspect, source: Source, border: Border, channels: slice, own: Way, way: Way) -> Hypothesis:
    def arguments(args: Arguments) -> Arguments:
        inner = border.inside(args[0])
        parts = [inner[:, : channels.start], way(source.exact[: len(inner)]), inner[:, channels.stop :]]
        return (padded(torch.cat([part for part in parts if part.shape[1]], 1), border.pads, border.mode), *args[1:])

    kind = way.differs(own)
    said = f"between {source.layer} and {suspect.layer} the port {own.in_words(kind)}; the original {way.in_words(kind)}"
    return Hypothesis(CAUSE[kind], said, "in the code between the two, do what the original does", arguments=arguments)
