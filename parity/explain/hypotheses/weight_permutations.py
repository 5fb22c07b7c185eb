"""The ways in which a kernel's axes may be permuted or flipped, as a table: each row undoes what it names, and fits some shapes only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Permutation:
    """A way in which a tensor's axes may be wrong, and `undo`, which puts them right."""

    cause: str
    detail: str
    fits: Callable[[Tensor], bool]
    undo: Callable[[Tensor], Tensor]


def _tall(t: Tensor) -> bool:
    return t.ndim >= 3 and t.shape[-2] > 1


def _wide(t: Tensor) -> bool:
    return t.ndim >= 3 and t.shape[-1] > 1


def _square_map(t: Tensor) -> bool:
    return _tall(t) and t.shape[-1] == t.shape[-2]


def _two_channels(t: Tensor) -> bool:
    return t.ndim in (2, 4) and t.shape[0] > 1 and t.shape[1] > 1


def _square_channels(t: Tensor) -> bool:
    return _two_channels(t) and t.shape[0] == t.shape[1]


def _from_memory(t: Tensor) -> Tensor:
    """A tensor that was reshaped to PyTorch's axes where it had to be transposed: its memory is [in, out] or [h, w, in, out]."""
    if t.ndim == 2:
        return t.reshape(t.shape[1], t.shape[0]).t()
    out, inputs, height, width = t.shape
    if inputs == 1:  # depthwise: [h, w, channels, 1]
        return t.reshape(height, width, out, 1).permute(2, 3, 0, 1)
    return t.reshape(height, width, inputs, out).permute(3, 2, 0, 1)


PERMUTATIONS: tuple[Permutation, ...] = (
    Permutation("kernel_flipped", "is flipped in height and width", lambda t: _tall(t) and _wide(t), lambda t: t.flip(-2, -1)),
    Permutation("kernel_flipped", "is flipped in height", _tall, lambda t: t.flip(-2)),
    Permutation("kernel_flipped", "is flipped in width", _wide, lambda t: t.flip(-1)),
    Permutation("kernel_transposed_hw", "has height and width swapped", _square_map, lambda t: t.transpose(-2, -1)),
    Permutation("kernel_transposed_hw", "is rotated by 90 degrees", _square_map, lambda t: t.transpose(-2, -1).flip(-2)),
    Permutation("kernel_transposed_hw", "is rotated by 90 degrees", _square_map, lambda t: t.transpose(-2, -1).flip(-1)),
    Permutation(
        "kernel_transposed_hw", "has height and width swapped, and is flipped", _square_map, lambda t: t.transpose(-2, -1).flip(-2, -1)
    ),
    Permutation("in_out_swapped", "has inputs and outputs swapped", _square_channels, lambda t: t.transpose(0, 1)),
    Permutation(
        "in_out_swapped",
        "has inputs and outputs, and height and width swapped",
        lambda t: t.ndim == 4 and _square_channels(t) and _square_map(t),
        lambda t: t.permute(1, 0, 3, 2),
    ),
    Permutation(
        "in_out_swapped",
        "has inputs and outputs swapped, and is flipped",
        lambda t: t.ndim == 4 and _square_channels(t) and _tall(t) and _wide(t),
        lambda t: t.transpose(0, 1).flip(-2, -1),
    ),
    Permutation(
        "in_out_swapped",
        "was reshaped where it had to be transposed",
        lambda t: _two_channels(t) or (t.ndim == 4 and t.shape[2] * t.shape[3] > 1),
        _from_memory,
    ),
)
