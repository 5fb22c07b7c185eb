"""The encoder: an image to its w (Lang et al. 2021, StylEx, section 3)."""

from __future__ import annotations

from torch import Tensor

from stylexport.torch_models.config import EncoderConfig
from stylexport.torch_models.residual import ResidualTrunk


class Encoder(ResidualTrunk):
    """StyleGAN2's residual discriminator without its minibatch standard deviation, ending in w."""

    config_class = EncoderConfig
    config: EncoderConfig

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config, config.latent)

    def forward(self, image: Tensor) -> Tensor:
        """`image` [N, 3, R, R] in [-1, 1] to w [N, latent]. Raises ValueError for an image of another shape."""
        return self.trunk(image)
