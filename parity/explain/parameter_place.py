"""A tensor that no module's output shows, because the network or a block itself holds it: where does the port use it otherwise?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from stylexport.parity.difference import SAME_TENSOR, finite_error
from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.result import Fault

# What the port may have left undone, or done twice.
WAYS: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor]], ...] = (
    ("is not added", lambda x, p: x + p),
    ("is added twice", lambda x, p: x - p),
    ("is not multiplied by", lambda x, p: x * p),
    ("is subtracted", lambda x, p: x + 2 * p),
)


def of_a_parameter(
    suspect: Suspect, layer: str, tensors: Mapping[str, Tensor], value: Callable[[Sequence[int]], Tensor | None]
) -> Fault | None:
    """The fault of a layer that is right on the value in which the `tensors` of `layer` have gone in; None where it is not.

    `value` gives that value of the original in the shape that it is asked for.
    """
    if not suspect.args or not isinstance(suspect.args[0], Tensor):
        return None
    given, right = suspect.args[0], value(suspect.args[0].shape)
    if right is None or len(right) < len(given):
        return None
    right = right[: len(given)]
    try:
        left = suspect.error(suspect.output(args=(right, *suspect.args[1:])))
    except IMPOSSIBLE:
        return None
    if not left <= suspect.allowed:
        return None
    cause = CAUSES["parameter_place"]
    ways = [f"{name} {words}" for words, change in WAYS for name, tensor in tensors.items() if _is(change, given, tensor, right)]
    detail = ways[0] if ways else f"{layer} goes in elsewhere or otherwise, or what it goes into is another"
    error = suspect.error(suspect.given)
    return Fault(suspect.network, suspect.layer, cause.name, f"before {suspect.layer}, {detail}", cause.remedy, error, left)


def _is(change: Callable[[Tensor, Tensor], Tensor], given: Tensor, tensor: Tensor, right: Tensor) -> bool:
    try:
        return finite_error(change(given, tensor.to(given)), right) <= SAME_TENSOR
    except IMPOSSIBLE:
        return False
