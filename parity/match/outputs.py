"""Which output of the port is held against which output of the original.

One output answers for one, whatever they are called. Several are matched by their names; outputs whose names tell nothing (a tuple's)
stand in order. Where one side has names and the other has not, or other ones, the values decide, then the order: TensorFlow sorts the names
of a dictionary, so that their order is not the author's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from stylexport.common.text import listing

AGREE = 1e-3  # two outputs in float32 with a smaller relative error hold the same thing

# How far an output of the port is from one of the original, by name; None where their shapes do not fit.
Distance = Callable[[str, Tensor], float | None]


@dataclass(frozen=True)
class Pairs:
    """The original's outputs by name, with the port's name for each. `said`: which way was taken, in words; "" where all is as expected."""

    names: Mapping[str, str]
    said: tuple[str, ...] = ()


def pairs(theirs: Sequence[str], ours: Mapping[str, Tensor], distance: Distance) -> Pairs:
    """Pairs the original's outputs, `theirs`, with the port's.

    Example:
        >>> import torch
        >>> score, image = torch.ones(2, 1), torch.zeros(2, 3)
        >>> original = {"image": image, "score": score}
        >>> def distance(name, value):
        ...     return float((value - original[name]).norm()) if value.shape == original[name].shape else None
        >>> found = pairs(["image", "score"], {"0": score, "1": image}, distance)
        >>> dict(found.names), found.said
        ({'image': '1', 'score': '0'}, ("outputs are matched by their values: image is the port's 1, score is its 0",))

    """
    if len(theirs) == 1 and len(ours) == 1:
        (name,), (own,) = theirs, ours
        said = (
            () if name == own or _unnamed([name, own]) else (f"the port's only output{_called(own)} is held against the original's {name}",)
        )
        return Pairs({name: own}, said)
    found: dict[str, str] = {}
    sentences: list[str] = []
    left = list(ours)
    in_order = _unnamed(theirs) and _unnamed(left) and len(theirs) == len(left)
    ways = {} if in_order else {"by their names": _by_name, "by their values": _by_value}
    for way, match in {**ways, "in order": _in_order}.items():
        more = match([name for name in theirs if name not in found], {own: ours[own] for own in left}, distance)
        found |= more
        left = [own for own in left if own not in more.values()]
        if more and not (way == "in order" and in_order and _unnamed(theirs)):
            sentences.append(_sentence(way, more))
    if left:
        sentences.append(
            f"the original has no output for the port's {listing(left)}: nothing is said of {'it' if len(left) == 1 else 'them'}"
        )
    return Pairs({name: found[name] for name in theirs if name in found}, tuple(sentences))


def _by_name(theirs: Sequence[str], ours: Mapping[str, Tensor], distance: Distance) -> dict[str, str]:
    return {name: name for name in theirs if name in ours and not name.isdigit()}


def _by_value(theirs: Sequence[str], ours: Mapping[str, Tensor], distance: Distance) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in theirs:
        far = {own: error for own, value in ours.items() if own not in found.values() and (error := distance(name, value)) is not None}
        nearest = min(far, key=far.__getitem__, default="")
        if far and far[nearest] <= AGREE:
            found[name] = nearest
    return found


def _in_order(theirs: Sequence[str], ours: Mapping[str, Tensor], distance: Distance) -> dict[str, str]:
    """The first that fits; where none does, the first."""
    found: dict[str, str] = {}
    for name in theirs:
        left = [own for own in ours if own not in found.values()]
        fitting = [own for own in left if distance(name, ours[own]) is not None]
        if left:
            found[name] = (fitting or left)[0]
    return found


def _unnamed(names: Collection[str]) -> bool:
    """Whether all names are places in a tuple."""
    return all(part.isdigit() for name in names for part in name.split("."))


def _called(own: str) -> str:
    return "" if _unnamed([own]) else f" {own}"


def _sentence(way: str, found: Mapping[str, str]) -> str:
    if all(name == own for name, own in found.items()):
        return f"outputs are matched {way}: {listing(list(found))}"
    (first, own), *others = found.items()
    said = [f"{first} is the port's {own}", *(f"{name} is its {own}" for name, own in others)]
    return f"outputs are matched {way}: {listing(said)}"
