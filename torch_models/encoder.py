"""The encoder: an image to its w (Lang et al. 2021, StylEx, section 3)."""

from __future__ import annotations

from torch import Tensor

from stylexport.torch_models.config import EncoderConfig
from stylexport.torch_models.residual import ResidualTrunk


class Encoder(ResidualTrunk):
    """StyleGAN2's residual discriminator without its minibatch standard deviation, ending in w.

    Example:
        >>> import torch
        >>> Encoder(EncoderConfig(resolution=8, channels=(6, 4), hidden=7, latent=5))(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 5])

    """

    config_class = EncoderConfig
    config: EncoderConfig

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, config.latent)

    def forward(self, image: Tensor) -> Tensor:
        """`image` [N, 3, R, R] in [-1, 1] to w [N, latent]. Raises ValueError for an image of another shape."""
        return self.trunk(image)
