"""Path length regularisation (Karras et al. 2020, StyleGAN2, section 3.2, equation 4)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def path_lengths(synthesise: Callable[[Tensor], Tensor], dlatent: Tensor, noise: Tensor) -> Tensor:
    """|J^T y| for each sample [N]: J the image's derivative by its `dlatent` [N, D], y = `noise` / sqrt(H W), normal [N, C, H, W].

    Every layer sees the one dlatent here, so the sum over the layers lies in J already.
    """
    dlatent = dlatent.detach().requires_grad_(True)
    images = synthesise(dlatent)
    scaled = (images * noise).sum() / math.sqrt(images.shape[2] * images.shape[3])
    (found,) = torch.autograd.grad(scaled, dlatent, create_graph=True)
    return (found.square().sum(1) + 1e-20).sqrt()  # a root has no slope at zero


def path_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """Mean (|J^T y| - a)^2 over `lengths` [N], a = `mean`, their running mean, through which nothing is differentiated; no axes."""
    return (lengths - mean.detach()).square().mean()


def running_mean(mean: Tensor, lengths: Tensor, decay: float = 0.99) -> Tensor:
    """A after these lengths: a + (1 - decay) (mean of lengths - a); 0.99 is the paper's."""
    return torch.lerp(mean, lengths.detach().mean(), 1 - decay)
