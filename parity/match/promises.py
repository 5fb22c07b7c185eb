"""A layer of which the port has more than the original, or less, promises that one of the two cuts it later.

A transposed convolution and then a crop gives the original's value with a border; so does a convolution that is padded where it must not
be. The layer alone cannot tell the two apart. The next layers can: where one of them is wrong, and is right when the layer in question is
given the original's whole value, the promise was broken, and the fault is that layer's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """A layer, or an output, as a pass met it: whether it was right, and how much more than the original it has.

    `more` is 1 for more, -1 for less; only a part was then compared. `size` is the original's spatial size where it has more, `took` the
    size of what it took.
    """

    name: str
    right: bool
    more: int = 0
    size: tuple[int, ...] = ()
    took: tuple[int, ...] = ()


def broken_promises(run: Callable[[frozenset[str]], Sequence[Seen] | None]) -> frozenset[str]:
    """The layers whose outputs had to be the original's whole.

    `run` makes a pass in which the layers it is given must give the whole (they are at fault, and what is behind them is given the
    original's), and returns what was seen, in order; None where the port cannot be run so.

    Example:
        Where `up` gives more than the original, `out` is wrong; it is right behind the original's value:

        >>> def run(whole):
        ...     return [Seen("up", "up" not in whole, more=1), Seen("out", "up" in whole)]
        >>> sorted(broken_promises(run))
        ['up']

    """
    broken, kept = frozenset[str](), frozenset[str]()
    while (seen := run(broken)) is not None:
        promises, wrong = _unkept(seen, broken | kept)
        if not promises:
            break
        other = run(broken.union(promises))
        if other is not None and all(_is_put_right(layer, promises.values()) for layer in other if layer.name == wrong):
            broken = broken.union(promises)
        else:
            kept = kept.union(promises)
    return broken


def _is_put_right(layer: Seen, more: Collection[int]) -> bool:
    """Whether a layer is right behind whole values.

    Not where it then has less, and they were cut from more, or the other way round: the port did cut, though perhaps at the wrong place.
    """
    return layer.right and -layer.more not in {sign for sign in more if sign}


def _unkept(seen: Sequence[Seen], decided: Collection[str]) -> tuple[dict[str, int], str]:
    """The promises before the first layer that is wrong behind any, and that layer.

    A promise is kept where a layer takes a value of the size that was promised, and where a layer is right as a whole.
    """
    promises: dict[str, int] = {}
    size: dict[str, tuple[int, ...]] = {}
    for layer in seen:
        if layer.name in decided:
            continue
        promises = {name: more for name, more in promises.items() if more < 0 or size[name] != layer.took}
        if not layer.right and promises:
            return promises, layer.name
        if layer.more:
            promises[layer.name], size[layer.name] = layer.more, layer.size
        elif layer.right:
            promises.clear()
    return {}, ""
