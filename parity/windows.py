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
