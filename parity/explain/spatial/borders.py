"""What a tensor was padded by, read from its values, and padding in words: for one, two or three spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Pads = tuple[tuple[int, int], ...]  # (before, after) for each spatial axis; negative numbers cut

# PyTorch's names, and one of TensorFlow's, of what stands in the border, and what a reader calls it.
MODES = {
    "zeros": "zeros",
    "reflect": "the reflected input",
    "replicate": "the outermost values",
    "circular": "the opposite side's values",
    "symmetric": "the mirrored input, its outermost values twice (TensorFlow's SYMMETRIC)",
}
AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
SIDES = {1: ("before", "behind"), 2: ("above", "below", "left", "right"), 3: ("in front", "behind", "above", "below", "left", "right")}


@dataclass(frozen=True)
class Border:
    """What was put round a tensor [N, C, ...], and what with."""

    pads: Pads
    mode: str = "zeros"

    def inside(self, x: Tensor) -> Tensor:
        """`x` without it."""
        return padded(x, tuple((-a, -b) for a, b in self.pads))


def padded(x: Tensor, pads: Pads, mode: str = "zeros") -> Tensor:
    """`x` [N, C, ...] with a border. Raises RuntimeError where a reflection would be wider than `x`."""
    if not any(side for pair in pads for side in pair):
        return x
    if mode == "symmetric":
        for axis, (before, after) in enumerate(pads, 2):
            line = list(range(x.shape[axis]))
            at = [*reversed(line[:before]), *line, *reversed(line[len(line) - after :])]
            x = x.index_select(axis, torch.tensor(at, device=x.device))
        return x
    flat = [side for pair in reversed(pads) for side in pair]
    return F.pad(x, flat, "constant" if mode == "zeros" else mode)


def no_pads(axes: int) -> Pads:
    """Nothing on every side."""
    return ((0, 0),) * axes


def borders(x: Tensor, widest: Sequence[int]) -> Iterator[Border]:
    """What may be a border of `x` by its values, no wider than `widest` on each axis; last, that there is none."""
    axes = x.ndim - 2
    for mode, find in FINDERS.items():
        pads = tuple(find(x, axis + 2, min(widest[axis], (x.shape[axis + 2] - 1) // 2)) for axis in range(axes))
        if pads != no_pads(axes):
            yield Border(pads, mode)
    yield Border(no_pads(axes))


def _zeros(x: Tensor, axis: int, widest: int) -> tuple[int, int]:
    """How many slices at both ends are all zeros."""
    empty = [not bool(part.any()) for part in x.unbind(axis)]
    before = next((i for i, none in enumerate(empty) if not none), 0)
    after = next((i for i, none in enumerate(reversed(empty)) if not none), 0)
    return min(before, widest), min(after, widest)


def _ends(repeated: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int, int], tuple[int, int]]:
    """A finder for borders made of what stands beside them: `repeated(line, width)` is what the first `width` slices then are."""

    def find(x: Tensor, axis: int, widest: int) -> tuple[int, int]:
        line = x.movedim(axis, 0)
        found = []
        for end in (line, line.flip(0)):
            fitting = (
                w for w in range(widest, 0, -1) if len(end) > 2 * w and torch.equal(end[:w], repeated(end, w)) and bool(end[:w].any())
            )
            found.append(next(fitting, 0))
        return found[0], found[1]

    return find


def _circular(x: Tensor, axis: int, widest: int) -> tuple[int, int]:
    line = x.movedim(axis, 0)
    size = len(line)
    for width in range(2 * widest, 0, -1):
        for before in range(max(width - widest, 0), min(width, widest) + 1):
            after = width - before
            same = torch.equal(line[:before], line[size - after - before : size - after])
            if same and torch.equal(line[size - after :], line[before : before + after]) and bool(line.any()):
                return before, after
    return 0, 0


FINDERS: dict[str, Callable[[Tensor, int, int], tuple[int, int]]] = {
    "zeros": _zeros,
    "reflect": _ends(lambda line, w: line[w + 1 : 2 * w + 1].flip(0)),
    "replicate": _ends(lambda line, w: line[w : w + 1].expand_as(line[:w])),
    "circular": _circular,
    "symmetric": _ends(lambda line, w: line[w : 2 * w].flip(0)),
}


def by_axis(pads: Sequence[object]) -> str:
    """One value an axis in words: "(0, 1) in height and width".

    Example:
        >>> by_axis(((0, 1), (1, 1)))
        '(0, 1) in height, (1, 1) in width'

    """
    names = AXES[len(pads)]
    if len(pads) > 1 and len(set(pads)) == 1:
        return f"{pads[0]} in {', '.join(names[:-1])} and {names[-1]}"
    return ", ".join(f"{pair} in {name}" for pair, name in zip(pads, names, strict=True))


def by_side(pads: Pads) -> str:
    """What stands on each side in words, without those where nothing does.

    Example:
        >>> by_side(((0, 1), (0, 1)))
        '1 below, 1 right'

    """
    each = zip(SIDES[len(pads)], (side for pair in pads for side in pair), strict=True)
    return ", ".join(f"{side} {name}" for name, side in each if side) or "nothing"


def as_call(pads: Pads, mode: str) -> str:
    """The padding as PyTorch's function takes it, the last axis first."""
    flat = ", ".join(str(side) for pair in reversed(pads) for side in pair)
    if mode == "symmetric":
        return "torch.cat of x and its flipped ends"
    return f"F.pad(x, ({flat}){'' if mode == 'zeros' else f', {mode!r}'})"
