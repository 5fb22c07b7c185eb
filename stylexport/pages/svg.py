"""Where things stand in a plot: a frame in the units of an SVG's viewBox, and the points of lines and bands. Templates draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """The rectangle between a plot's axes, in a picture of `width` times `height`. SVG counts y downwards; shares count upwards.

    Example:
        >>> frame = Frame(width=470, height=290, left=46, right=460, top=12, bottom=262)
        >>> frame.x(0.5), frame.y(0.25)
        (253.0, 199.5)

    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def x(self, share: float) -> float:
        """The place of a share in 0 ... 1 of the frame's width, from the left."""
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, share: float) -> float:
        """The place of a share in 0 ... 1 of the frame's height, from below."""
        return round(self.bottom - share * (self.bottom - self.top), 1)


def line(xs: Sequence[float], ys: Sequence[float]) -> str:
    """The `points` of a polyline.

    Example:
        >>> line([0, 10], [2.5, 3])
        '0,2.5 10,3'

    """
    return " ".join(f"{x:g},{y:g}" for x, y in zip(xs, ys, strict=True))


def band(xs: Sequence[float], upper: Sequence[float], lower: Sequence[float]) -> str:
    """The `points` of the polygon between two lines over the same places.

    Example:
        >>> band([0, 10], [1, 2], [5, 6])
        '0,1 10,2 10,6 0,5'

    """
    return f"{line(xs, upper)} {line(xs[::-1], lower[::-1])}"


def levels(edges: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The x and y of a line that is level between each two of `edges`, of which there is one more than `values`.

    Example:
        >>> levels([0, 1, 2], [7, 9])
        ([0, 1, 1, 2], [7, 7, 9, 9])

    """
    return (
        [edges[i + side] for i in range(len(values)) for side in (0, 1)],
        [value for value in values for _ in (0, 1)],
    )
