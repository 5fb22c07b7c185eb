"""The exponential moving average of weights that a generator is sampled with (Karras et al. 2018, section 4.1)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

M = TypeVar("M", bound=nn.Module)


def copy_of(network: M) -> M:
    """An average that starts at the network's weights: in eval mode, without gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


def decay(images: float, half_life: float, seen: float, ramp: float | None = 0.05) -> float:
    """The share of the average that stays after a batch of `images`: half of it is left after `half_life` images.

    While few images were `seen`, the half-life is at most `ramp` of them (StyleGAN2-ADA's warm-up), so that an average does not drag the
    random start along; None for no ramp, as where weights are learned already.

    Example:
        >>> decay(images=16, half_life=16, seen=1e6)
        0.5

    """
    own = half_life if ramp is None else min(half_life, ramp * seen)
    return 0.5 ** (images / max(own, 1e-8))


@torch.no_grad()
def update(averages: Mapping[str, nn.Module], networks: Mapping[str, nn.Module], share: float) -> None:
    """Average <- share average + (1 - share) weights; buffers (w_avg) are copied."""
    for name, average in averages.items():
        get_ema_multi_avg_fn(share)([*average.parameters()], [*networks[name].parameters()], 1)
        for kept, buffer in zip(average.buffers(), networks[name].buffers(), strict=True):
            kept.copy_(buffer)
