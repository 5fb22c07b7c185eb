"""What a layer answers for whose output has another shape than the original's: it is cut later, or it is another layer.

`stylexport.parity.match.promises` decides which of the two it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from stylexport.parity.difference import Difference, difference
from stylexport.parity.match.calls import Answer, Calls
from stylexport.parity.original import InPart, Original

NEAR = 0.05  # a layer that is cut later and errs by less is held against the place in the original's that it is nearest to

# What a layer is held against, and what the port is given in the place of its value.
Found = tuple[Answer, Tensor]


def whole_value(original: Original, module: nn.Module, calls: Calls, number: int, value: Tensor) -> Found | None:
    """The whole value that call `number` of a layer should have given; None for a user's layer that may be laid out in another way."""
    tap, users = calls[min(number, len(calls) - 1)][0], original.network.config is None
    if users and not isinstance(module, _ConvNd):
        return None
    original.parts.pop(tap.tensor, None)
    expected = original.with_channels(tap, value.shape) if users else original.channels_first(tap)
    return None if expected is None else (Answer(0, tap, Difference(math.inf, math.inf), expected), expected)


def in_part(
    original: Original, module: nn.Module, calls: Calls, number: int, value: Tensor, with_weights: Iterable[Tensor]
) -> Found | None:
    """The call of a layer that is cut later; the port is given its own value with the original's in its place.

    `with_weights` is what the module gives with the original's weights in it, where it can hold them: where the value itself does not
    agree, but that does, the layer is held against that; else where it is nearest, if that is near, or in the middle of a convolution's
    value.
    """
    order = sorted(range(len(calls)), key=lambda call: call != number)
    taps = [(call, tap) for call in order for tap in calls[call]]
    for right in itertools.chain((value,), with_weights):
        for call, tap in taps:
            part = original.compare_in_part(tap, right)
            if part and part.difference.error <= original.allowed_alone(tap):
                distance = part.difference if right is value else difference(value[: len(part.expected)], part.expected)
                return _found(original, Answer(call, tap, distance, part.expected), part)
    call, tap = taps[0]
    part, whole = original.compare_in_part(tap, value), original.with_channels(tap, value.shape)
    if part and not part.difference.error < NEAR:
        larger = isinstance(module, _ConvNd) and part.overlap.ours_larger
        part = original.compare_in_part(tap, value, middle=True) if larger else None
    return None if part is None or whole is None else _found(original, Answer(call, tap, part.difference, whole), part)


def _found(original: Original, held: Answer, part: InPart) -> Found:
    """Remembers where the two lie over each other, for the chain."""
    original.parts[held.tap.tensor] = part.order, part.overlap
    return held, part.expected
