"""What the port's code had in hand before a layer, for the hypotheses on what it did with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.explain.suspect import Source
from stylexport.parity.original import Original

SOURCES = 6  # values that are kept, the latest


def source_of(original: Original, tap: RecordedTap, layer: str, handed: Tensor) -> Source:
    """The value of `layer` that the port was given, copied because its code may change it in place, and the original's."""
    if (part := original.parts.get(tap.tensor)) is None:
        return Source(layer, handed.clone(), handed.clone())
    order, overlap = part
    exact = original.permuted(tap, order)[: len(handed)]
    return Source(layer, handed.clone(), exact, overlap.window if overlap.ours_larger else None)


def inputs_as_sources(original: Original, rows: int | None) -> Iterator[Source]:
    """The network's inputs, as they are and with their channels first; none of a known network."""
    if original.network.config is not None:
        return
    for name, value in original.inputs(torch.float64).items():
        for laid in (value, value.movedim(-1, 1)) if value.ndim > 2 else (value,):
            yield Source(f"the input {name}", laid[:rows], laid[:rows])


def spatial_size(args: Sequence[Any]) -> tuple[int, ...]:
    """The spatial size of what a layer took; empty where it took no [N, C, ...]."""
    return tuple(args[0].shape[2:]) if args and isinstance(args[0], Tensor) else ()
