"""Where a smaller tensor lies in a larger one: what a crop leaves of a layer's output, the port's or the original's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PLACES = 1000  # places at which a tensor is looked for, at most
CHANNELS = 16  # of the first sample, by which the places are compared


@dataclass(frozen=True)
class Window:
    """The part of a tensor [N, C, ...] from `start` on, of `size` values, every `step`-th of them: one number a spatial axis each."""

    start: tuple[int, ...]
    size: tuple[int, ...]
    step: tuple[int, ...]

    def of(self, whole: Tensor) -> Tensor:
        """The part, as a view of `whole`.

        Example:
            >>> Window((1,), (2,), (2,)).of(torch.arange(6.0)[None, None])
            tensor([[[1., 3.]]])

        """
        for axis, (a, n, s) in enumerate(zip(self.start, self.size, self.step, strict=True), 2):
            whole = whole.narrow(axis, a, s * (n - 1) + 1).unfold(axis, 1, s).squeeze(-1) if s > 1 else whole.narrow(axis, a, n)
        return whole


def nearest_window(whole: Tensor, part: Tensor, step: Sequence[int] | None = None) -> Window | None:
    """The window of `whole` [N, C, ...] that is nearest to `part` [M, C, ...]; None where it fits nowhere, or in too many places.

    Example:
        >>> whole = torch.tensor([[[5.0, 1.0, 4.0, 2.0, 3.0]]])
        >>> nearest_window(whole, torch.tensor([[[4.0, 2.0]]])).start
        (2,)

    """
    axes = whole.ndim - 2
    if axes < 1 or part.ndim != whole.ndim or part.shape[1] != whole.shape[1] or not part.numel() or not len(whole):
        return None
    steps, size = tuple(step or (1,) * axes), tuple(part.shape[2:])
    places = [range(have - s * (n - 1)) for have, n, s in zip(whole.shape[2:], size, steps, strict=True)]
    count = 1
    for place in places:
        count *= len(place)
    if not 0 < count <= PLACES:
        return None
    spread = torch.arange(0, part.shape[1], -(-part.shape[1] // CHANNELS), device=part.device)
    few, wanted = whole[:1, spread.to(whole.device)], part[:1, spread]
    windows = (Window(start, size, steps) for start in itertools.product(*places))
    return min(windows, key=lambda window: float((window.of(few) - wanted).square().sum().nan_to_num(float("inf"))))


@dataclass(frozen=True)
class Overlap:
    """Two tensors [N, C, ...] of which one is cut to be the other: the smaller one's place in the larger, and which is larger."""

    window: Window
    ours_larger: bool

    def of_ours(self, ours: Tensor) -> Tensor:
        """The common part of the port's tensor."""
        return self.window.of(ours) if self.ours_larger else ours

    def of_theirs(self, theirs: Tensor) -> Tensor:
        """The common part of the original's tensor."""
        return theirs if self.ours_larger else self.window.of(theirs)

    @property
    def size(self) -> tuple[int, ...]:
        """The common part's spatial size."""
        return self.window.size

    def fits(self, ours: Sequence[int], theirs: Sequence[int]) -> bool:
        """Whether tensors of these shapes can lie so."""
        larger, smaller = (ours, theirs) if self.ours_larger else (theirs, ours)
        room = zip(larger[2:], self.window.start, self.window.size, strict=False)
        return len(larger) == len(smaller) and tuple(smaller[2:]) == self.window.size and all(a + n <= have for have, a, n in room)

    def put(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """A copy of the port's tensor with the original's values in the common part."""
        copied = ours.clone()
        self.of_ours(copied).copy_(self.of_theirs(theirs))
        return copied


def nearest_overlap(ours: Tensor, theirs: Tensor, middle: bool = False) -> Overlap | None:
    """Where two tensors [N, C, ...] lie over each other: nearest, or one in the `middle` of the other; None where neither fits."""
    if ours.ndim != theirs.ndim or ours.ndim < 3:
        return None
    rows = min(len(ours), len(theirs))
    pairs = list(zip(ours.shape[2:], theirs.shape[2:], strict=True))
    larger, smaller = (ours, theirs) if all(a >= b for a, b in pairs) else (theirs, ours)
    window = nearest_window(larger[:rows], smaller[:rows])
    if window is not None and middle:
        start = tuple((a - b) // 2 for a, b in zip(larger.shape[2:], smaller.shape[2:], strict=True))
        window = Window(start, window.size, window.step)
    return None if window is None else Overlap(window, larger is ours)
