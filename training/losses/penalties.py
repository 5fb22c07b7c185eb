"""What keeps a discriminator smooth: a penalty on the gradient of its score with respect to the image.

`score` maps images [N, C, H, W] to scores [N, 1], one a sample, the label probabilities being bound already.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]


def r1(score: Score, real: Tensor) -> Tensor:
    """R1 = mean |grad_x D(x)|^2 over real samples (Mescheder et al. 2018, equation 9 without gamma / 2); no axes."""
    return _gradients(score, real).square().sum((1, 2, 3)).mean()


def wgan_gp(score: Score, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Mean (|grad_y D(y)| - 1)^2 at y = share x + (1 - share) x' (Gulrajani et al. 2017, equation 3 without lambda); no axes.

    `share` [N, 1, 1, 1] is uniform in [0, 1].
    """
    between = torch.lerp(fake, real, share)
    # The square root has no slope at a gradient of zero, which a fresh or saturated discriminator can have.
    return ((_gradients(score, between).square().sum((1, 2, 3)) + 1e-12).sqrt() - 1).square().mean()


def _gradients(score: Score, images: Tensor) -> Tensor:
    """The gradient of each sample's score with respect to its own image, [N, C, H, W], which can be differentiated again."""
    images = images.detach().requires_grad_(True)
    (found,) = torch.autograd.grad(score(images).sum(), images, create_graph=True)
    return found
