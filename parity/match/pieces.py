"""A layer of the port that joins several layers of the original, as one linear layer for query, key and value of an attention.

The recording has what each of them gives (the stage "piece"). Where the port's layer gives all of them side by side, that is what it is
held against; else they are left out, and the layer is held against what the original makes of all of them, as `nn.MultiheadAttention` is.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from torch import Tensor

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.original import JOIN, Original

PIECE = "piece"  # the stage of one of the joined layers' values
_PARAMETERS = "parameters"


def side_by_side(own: Sequence[RecordedTap], value: Tensor, original: Original) -> list[RecordedTap]:
    """The pieces of each call of a layer as one tap, where `value`, the port's, holds them one behind the other; empty where it does not.

    `own` are all of the layer's taps.
    """
    pieces = sorted((tap for tap in own if tap.stage == PIECE), key=lambda tap: tap.piece)
    numbers = [list(group) for _, group in itertools.groupby(pieces, key=lambda tap: tap.piece)]
    if not pieces or len({len(group) for group in numbers}) > 1:
        return []
    calls = list(zip(*numbers, strict=True))
    for rank in dict.fromkeys((value.ndim, 3, 2)):
        joined = [_joined(call, rank) for call in calls if rank <= len(call[0].shape)]
        if joined and original.compare(joined[0], value) is not None:
            return joined
    return []


def _joined(call: Sequence[RecordedTap], rank: int) -> RecordedTap:
    """One call's pieces one behind the other along the channels, which are all axes from number `rank` on."""
    worst, first = max(call, key=lambda tap: tap.floor), call[0]
    shape, layout = list(first.shape[:rank]), first.layout if rank == len(first.shape) else ""
    channels = 1 if layout == "NCHW" else rank - 1
    shape[channels] = sum(_size(tap, channels, rank) for tap in call)
    names, rows = JOIN.join(tap.tensor for tap in call), min(tap.rows for tap in call)
    return dataclasses.replace(
        worst, stage=_PARAMETERS, declared=True, shape=tuple(shape), layout=layout, tensor=names, rows=rows, piece=0, unseen=()
    )


def _size(tap: RecordedTap, channels: int, rank: int) -> int:
    size = tap.shape[channels]
    for axis in tap.shape[rank:]:
        size *= axis
    return size
