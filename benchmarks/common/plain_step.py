"""The training step in plain form: the same losses without what makes `stylexport.training.step` fast.

penalties     at every step, not every 4th and 16th (Karras et al. 2020, StyleGAN2, section 3.1, computes them lazily)
convolution   a scaled and normalised copy of the weights a sample, one group each, as equations 1 to 3 there say it
fakes         made anew for the discriminator, by the generator that has just learned
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from stylexport.torch_models.layers import synthesis
from stylexport.torch_models.layers.precision import compute_dtype
from stylexport.torch_models.layers.resampling import Fir, split_padding
from stylexport.training.config import TrainConfig
from stylexport.training.step import Losses, Part, Step


def at_every_step(config: TrainConfig) -> TrainConfig:
    """The settings with penalties at every step."""
    losses = dataclasses.replace(config.losses, r1_every=1, gradient_penalty_every=1, path_length_every=1)
    return dataclasses.replace(config, losses=losses)


class PlainStep(Step):
    """A step in plain form; its settings are `at_every_step`'s."""

    def __call__(self, number: int, images: Tensor) -> Losses:
        """As `Step`."""
        with per_sample_weights():
            return super().__call__(number, images)

    def discriminator_loss(self, part: Part) -> tuple[Tensor, Losses]:
        """As `Step`'s, of images that are made anew."""
        with torch.no_grad(), self.accelerator.autocast():
            w = self.network("encoder")(part.real) if part.encodes else self.random_w(len(part.real))
            part.fake = self.images(w, part.probabilities, mix=not part.encodes)
        return super().discriminator_loss(part)


@contextmanager
def per_sample_weights() -> Iterator[None]:
    """The synthesis network with `grouped_conv2d` in place of the convolution that shares its weights."""
    with patch.object(synthesis, "modulated_conv2d", grouped_conv2d):
        yield


def grouped_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, epsilon: float, gain: float = 1.0, up: Fir | None = None, *, equalized: bool = True
) -> Tensor:
    """`stylexport.torch_models.layers.modulated_conv.modulated_conv2d` of the same arguments, by weights [N, O, I, k, k] in N groups."""
    dtype = compute_dtype(x)
    n, (o, i, k, _) = len(style), weight.shape
    coefficient = 1 / math.sqrt(weight[0].numel()) if equalized else 1.0
    scaled = weight * (style * coefficient)[:, None, :, None, None]  # [N, O, I, k, k]
    scaled = scaled * (torch.rsqrt(scaled.square().sum((2, 3, 4), keepdim=True) + epsilon) * gain)
    rows = x.to(dtype).expand(n, -1, -1, -1).reshape(1, n * i, *x.shape[2:])
    if up is None:
        return F.conv2d(rows, scaled.to(dtype).flatten(0, 1), padding=k // 2, groups=n).unflatten(1, (n, o))[0]
    scattered = F.conv_transpose2d(rows, scaled.to(dtype).transpose(1, 2).flatten(0, 1), stride=2, groups=n)
    return up.filter(scattered.unflatten(1, (n, o))[0], split_padding(len(up.taps) + 1 - k))
