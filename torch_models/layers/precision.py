"""Which dtype and which memory format a layer computes in.

Weights follow the activations: a layer casts its weights to the dtype of its input (or of autocast), so that files of any
floating dtype, mixed ones too, run as they were stored.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the device of `x` (the meta device has none)."""
    return x.device.type != "meta" and torch.is_autocast_enabled(x.device.type)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype that a convolution of `x` runs in: autocast's where it is on, else that of `x`."""
    return torch.get_autocast_dtype(x.device.type) if autocasts(x) and x.dtype != torch.float64 else x.dtype


def full_dtype(x: Tensor) -> torch.dtype:
    """The dtype for sums that 16 bits cannot hold: that of `x`, and at least float32."""
    return torch.float32 if x.dtype in HALF else x.dtype


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """A context in which matrix products keep their operands' dtype. An empty context where autocast is off."""
    return torch.autocast(x.device.type, enabled=False) if autocasts(x) else nullcontext()


def memory_format(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """The layout in which convolutions of this dtype are fastest on this device.

    On a CPU oneDNN filters 128 channels of 256 px about three times as fast with channels last (15 ms to 42 ms on two cores of an
    EPYC), and tensor cores read 16-bit channels last without a transposition. The CPU's float64 convolutions are not oneDNN's and
    want the contiguous layout.
    """
    fast = dtype != torch.float64 if device.type == "cpu" else device.type == "cuda" and dtype in HALF
    return torch.channels_last if fast else torch.contiguous_format


def arrange(x: Tensor) -> Tensor:
    """`x` [N, C, H, W] in the compute dtype and the fastest layout; itself where it already is."""
    dtype = compute_dtype(x)
    return x.to(dtype).contiguous(memory_format=memory_format(x.device, dtype))
