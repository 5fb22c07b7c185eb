"""Hypotheses on what goes into a layer: the image's range, the order of its channels, of a flattening, of labels; probabilities, noise.

A network's own forward stands between its layers, so a fault in it shows at the first layer behind.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from stylexport.parity.explain.hypotheses.hypothesis import SEEN, SUPPOSED, Arguments, Hypothesis, is_image, number, setting
from stylexport.parity.explain.suspect import Suspect
from stylexport.torch_models.layers.synthesis import SynthesisLayer, ToRGB

# Ranges that images come in: (low, high).
RANGES = {"[-1, 1]": (-1.0, 1.0), "[0, 1]": (0.0, 1.0), "[0, 255]": (0.0, 255.0), "[-0.5, 0.5]": (-0.5, 0.5)}
MOST_LABELS = 4  # of which all orders are tried


def input_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Every way to rearrange the arguments that fits this layer's."""
    if not suspect.args or not isinstance(suspect.args[0], Tensor):
        return
    x = suspect.args[0]
    if is_image(suspect):
        yield from _ranges(suspect)
    if suspect.layer == "mapping.fc0":
        nearly = bool(((x.square().mean(-1) - 1).abs() < 0.1).all())
        words = "z is normalised with another epsilon" if nearly else "z comes in without being normalised by its second moment"
        yield _first("input_range", words, _normalised)
    if x.ndim == 4:
        yield from _axes(x)
    if x.ndim == 2:
        yield from _flattenings(x)
        yield from _labels(suspect, x)
    yield from _styles(suspect)
    yield from _noises(suspect)


def _ranges(suspect: Suspect) -> Iterator[Hypothesis]:
    """The configuration's scale and shift undone and redone, then one usual range for another."""
    own, config = suspect.own, suspect.config
    if config is not None and own is not None:
        wanted, shift, now, moved = (float(setting(c, name) or 0.0) for c in (config, own) for name in ("image_scale", "image_shift"))
        if (wanted, shift) != (now, moved) and now:
            yield _first(
                "input_range",
                f"the input becomes {number(now)} x + {number(moved)}, the original's {number(wanted)} x + {number(shift)}",
                lambda x: (x - moved) / now * wanted + shift,
                f"set image_scale to {number(wanted)} and image_shift to {number(shift)}, as the original's graph has them",
                SEEN,
            )
    for (given, (low, high)), (usual, (floor, top)) in itertools.permutations(RANGES.items(), 2):
        scale = (top - floor) / (high - low)
        yield _first("input_range", f"the input comes in {given}, the original's in {usual}", _affine(scale, floor - low * scale))


def _axes(x: Tensor) -> Iterator[Hypothesis]:
    if x.shape[1] == 3:
        yield _first("channel_order", "the input's channels come in the order B, G, R", lambda x: x.flip(1))
    if x.shape[2] == x.shape[3] > 1:
        yield _first("channel_order", "height and width of the input are swapped", lambda x: x.transpose(2, 3))
    if x.shape[2] > 1:
        yield _first("channel_order", "the input comes upside down", lambda x: x.flip(2))
        yield _first("channel_order", "the input comes mirrored", lambda x: x.flip(3))


def _flattenings(x: Tensor) -> Iterator[Hypothesis]:
    """A dense layer's input that was flattened channels last, where some square map of two or more pixels fits its length."""
    length = x.shape[1]
    for side in range(2, math.isqrt(length) + 1):
        pixels = side * side
        if length % pixels == 0 and length > pixels:
            yield _first("channel_order", f"the input is flattened in the order H, W, C ({side} x {side})", _unflatten(pixels, -1))
            yield _first(
                "channel_order",
                f"the input is flattened in the order C, H, W, the original's H, W, C ({side} x {side})",
                _unflatten(-1, pixels),
            )


def _labels(suspect: Suspect, x: Tensor) -> Iterator[Hypothesis]:
    """The label probabilities behind w in a dlatent, or a row of them alone: as logits, or in another order."""
    labels = setting(suspect.config, "labels")
    if not labels or not (suspect.layer.startswith("style_vectors") or x.shape[1] == labels):
        return
    for words, change in (
        ("come in as logits", lambda p: p.softmax(-1)),
        ("come in as their logarithms", torch.exp),
        ("come in through another softmax", lambda p: p.log()),
    ):
        yield _first("logits_for_probabilities", f"the label probabilities {words}", _behind(labels, change))
    for order in itertools.permutations(range(labels)) if labels <= MOST_LABELS else [tuple(reversed(range(labels)))]:
        if list(order) != sorted(order):
            yield _first("label_order", f"the label probabilities come in the order {list(order)}", _behind(labels, _ordered(order)))
    if x.shape[1] > labels:
        yield _first("label_order", "the label probabilities stand before w, not behind it", lambda x: x.roll(-labels, 1))


def _styles(suspect: Suspect) -> Iterator[Hypothesis]:
    """A second argument [N, I]: a style, as the synthesis hands it on."""
    if len(suspect.args) > 1 and isinstance(suspect.args[1], Tensor) and isinstance(suspect.module, SynthesisLayer | ToRGB):
        for plus, words in ((1.0, "comes in without its one"), (-1.0, "comes in with one added twice")):
            yield _argument(1, "style_plus_one_missing", f"the style {words}", _affine(1.0, plus))


def _noises(suspect: Suspect) -> Iterator[Hypothesis]:
    """A noise that is asked for by name, or given as a tensor in place of the released one."""
    if not isinstance(suspect.module, SynthesisLayer) or len(suspect.args) < 3:
        return
    if isinstance(suspect.args[2], Tensor) or suspect.args[2] != "const":
        kind = "a tensor" if isinstance(suspect.args[2], Tensor) else repr(suspect.args[2])
        yield _argument(2, "noise", f"the layer is asked for {kind} in place of its constant noise", lambda _: "const")


def _affine(scale: float, shift: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x * scale + shift


def _normalised(z: Tensor) -> Tensor:
    return z * (z.square().mean(-1, keepdim=True) + 1e-8).rsqrt()


def _unflatten(rows: int, columns: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x.unflatten(1, (rows, columns)).transpose(1, 2).flatten(1)


def _ordered(order: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    return lambda p: p[:, list(order)]


def _behind(labels: int, change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`change` made to the last `labels` columns alone."""
    return lambda x: torch.cat([x[:, :-labels], change(x[:, -labels:])], 1)


def _first(cause: str, detail: str, change: Callable[[Tensor], Tensor], remedy: str = "", evidence: int = SUPPOSED) -> Hypothesis:
    return _argument(0, cause, detail, change, remedy, evidence)


def _argument(place: int, cause: str, detail: str, change: Callable[[Any], Any], remedy: str = "", evidence: int = SUPPOSED) -> Hypothesis:
    def changed(arguments: Arguments) -> Arguments:
        return (*arguments[:place], change(arguments[place]), *arguments[place + 1 :])

    return Hypothesis(cause, detail, remedy, evidence, arguments=changed)
