"""A layer of which the port has more than the original, or less, promises that one of the two cuts it later.

A transposed convolution and then a crop gives the original's value with a border; so does a convolution that is padded where it must not
be. The layer alone cannot tell the two apart. The next layers can: where one of them is wrong, and is right when the layer in question is
given the original's whole value, the promise was broken, and the fault is that layer's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """A layer, or an output, as a pass met it: whether it was right, and how much more than the original it has.

    `more` is 1 for more, -1 for less; only a part was then compared. `size` is the original's spatial size, `took` the
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
        ...     took = (4, 4) if "up" in whole else (5, 5)
        ...     return [Seen("up", "up" not in whole, more=1, size=(4, 4)), Seen("out", "up" in whole, took=took)]
        >>> sorted(broken_promises(run))
        ['up']

    """
    broken, kept = frozenset[str](), frozenset[str]()
    while (seen := run(broken)) is not None:
        promises, wrong = _unkept(seen, broken | kept)
        if not promises:
            break
        other = run(broken.union(promises))
        if other is not None and all(_is_put_right(layer, promises) for layer in other if layer.name == wrong):
            broken = broken.union(promises)
        else:
            kept = kept.union(promises)
    return broken


def _is_put_right(layer: Seen, promises: Mapping[str, Seen]) -> bool:
    """Whether a layer is right behind whole values, which it takes as they are.

    Not where it then has less, and they were cut from more, or the other way round: the port did cut, though perhaps at the wrong place.
    """
    taken = any(layer.took == promise.size for promise in promises.values())
    return layer.right and (taken or -layer.more not in {promise.more for promise in promises.values()} - {0})


def _unkept(seen: Sequence[Seen], decided: Collection[str]) -> tuple[dict[str, Seen], str]:
    """The promises before the first layer that is wrong behind any, and that layer.

    A promise is kept where a layer takes a value of the size that was promised, and where a layer is right as a whole.
    """
    promises: dict[str, Seen] = {}
    for layer in seen:
        if layer.name in decided:
            continue
        promises = {name: promise for name, promise in promises.items() if promise.more < 0 or promise.size != layer.took}
        if not layer.right and promises:
            return promises, layer.name
        if layer.more:
            promises[layer.name] = layer
        elif layer.right:
            promises.clear()
    return {}, ""
