"""Minibatch standard deviation (Karras et al. 2018, "Progressive Growing of GANs", section 3; grouped as in StyleGAN2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylexport.torch_models.layers.precision import full_dtype


class MinibatchStd(nn.Module):
    """Appends one channel, last: how much the samples of a group differ, averaged over channels and pixels.

    A group is G = min(group, N) samples (all of them where `group` is 0), N / G apart: sample n is of group n mod (N / G), as
    TensorFlow's reshape to [G, N / G, C, H, W] makes it.
    """

    def __init__(self, group: int, epsilon: float) -> None:
        super().__init__()
        self.group, self.epsilon = group, epsilon

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, C, H, W] to [N, C + 1, H, W]. Raises ValueError where groups of G do not divide N."""
        n, _, h, w = x.shape
        group = self.size(n)
        if n % group:
            raise ValueError(f"the minibatch standard deviation takes groups of {group}, which do not divide a batch of {n}")
        y = x.to(full_dtype(x)).unflatten(0, (group, -1))  # [G, N / G, C, H, W]
        variance = (y - y.mean(0)).square().mean(0)
        deviation = (variance + self.epsilon).sqrt().mean((1, 2, 3))  # [N / G]
        channel = deviation.repeat(group).to(x.dtype)[:, None, None, None].expand(-1, 1, h, w)
        return torch.cat([x, channel], 1)

    def size(self, n: int) -> int:
        """How many of `n` samples make a group."""
        return min(self.group or n, n)

    def extra_repr(self) -> str:
        """Group size and epsilon."""
        return f"group={self.group}, epsilon={self.epsilon}"
