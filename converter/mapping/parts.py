"""Parts of variables and of tensors: one variable may fill several tensors, several variables one tensor, and a number the rest.

A table writes a part as NumPy does: `kernel[:5]` are the first five rows, `bias[0]` is the first row, `kernel[:, 8:16]` are columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.converter.mapping.layouts import Shape

_WRITTEN = re.compile(r"(?P<name>.+?)\[(?P<cut>[\d:, ]+)\]", re.DOTALL)
_RANGE = re.compile(r"(\d*)\s*(:?)\s*(\d*)")

Range = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """A part of a variable or tensor: for each of its first axes one index, or a range (start, stop). Without any it is the whole."""

    cut: tuple[int | Range, ...] = ()

    def shape(self, whole: Shape) -> Shape:
        """The shape of this part of `whole`, whose axes it fits (`read_part` has checked it)."""
        kept = [cut[1] - cut[0] for cut in self.cut if not isinstance(cut, int)]
        return (*kept, *whole[len(self.cut) :])

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of this part."""
        view: NDArray[Any] = array[self.index]
        return view

    @property
    def index(self) -> tuple[int | slice, ...]:
        """As NumPy takes it."""
        return tuple(cut if isinstance(cut, int) else slice(*cut) for cut in self.cut)

    def __str__(self) -> str:
        """As a table writes it; "" for the whole."""
        inside = ", ".join(str(cut) if isinstance(cut, int) else f"{cut[0]}:{cut[1]}" for cut in self.cut)
        return f"[{inside}]" if inside else ""


WHOLE = Part()


@dataclass(frozen=True)
class Filled:
    """A tensor that no variable of the original gives: `values` are those of equal parts along its first axis."""

    torch: str
    shape: Shape
    values: tuple[float, ...]

    def array(self) -> NDArray[np.float32]:
        """The tensor.

        Example:
            >>> Filled("lstm.bias_hh_l0", (8,), (0.0, 1.0, 0.0, 0.0)).array().tolist()
            [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]

        """
        column = np.repeat(np.asarray(self.values, np.float32), self.shape[0] // len(self.values))
        return np.ascontiguousarray(np.broadcast_to(column.reshape(-1, *[1] * (len(self.shape) - 1)), self.shape))


def written(text: str) -> tuple[str, str]:
    """A name in a table, and the part behind it: ("cell/kernel", ":5") for "cell/kernel[:5]", ("cell/kernel", "") without one."""
    found = _WRITTEN.fullmatch(text)
    return (found["name"], found["cut"]) if found else (text, "")


def read_part(text: str, whole: Shape) -> Part:
    """What is written between the brackets, of a variable of the shape `whole`. Raises ValueError where the variable has no such part.

    Example:
        >>> read_part(":5, 2", (9, 4)), str(read_part("5:", (9, 4)))
        (Part(cut=((0, 5), 2)), '[5:9]')

    """
    if not text:
        return WHOLE
    pieces = [_RANGE.fullmatch(piece.strip()) for piece in text.split(",")]
    if len(pieces) > len(whole):
        raise ValueError(f"[{text}] names {len(pieces)} axes of {list(whole)}")
    cuts: list[int | Range] = []
    for found, size in zip(pieces, whole, strict=False):
        if found is None or not (found[1] or found[2]):
            raise ValueError(f"[{text}] is not a part; write an index or a range for each axis, as in [0] or [:5, 8:16]")
        start, stop = int(found[1] or 0), int(found[3] or size)
        if not found[2]:
            if start >= size:
                raise ValueError(f"[{text}] lies outside {list(whole)}")
            cuts.append(start)
        elif start >= stop or stop > size:
            raise ValueError(f"[{text}] lies outside {list(whole)}, or is empty")
        else:
            cuts.append((start, stop))
    return Part(tuple(cuts))


def check_covered(parts: Sequence[Part], shape: Shape) -> str | None:
    """What is wrong with the parts that were taken of a variable: None where each of its numbers is taken once.

    One that is only ever taken whole may be taken more than once: two layers may share it.
    """
    if all(part == WHOLE for part in parts):
        return None
    count = np.zeros(shape, np.uint8)
    for part in parts:
        count[part.index] += 1
    said = ", ".join(str(part) or "all of it" for part in parts)
    if (count > 1).any():
        return f"its parts overlap ({said}); take each number once"
    if not count.all():
        first = [int(i) for i in np.argwhere(count == 0)[0]]
        return f"of it only {said} is taken, and not what stands at {first}; add a row for the rest"
    return None
