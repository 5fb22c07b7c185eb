"""The discriminator: an image and its label probabilities to one score."""

from __future__ import annotations

from torch import Tensor

from stylexport.torch_models.config import DiscriminatorConfig
from stylexport.torch_models.residual import ResidualTrunk


class Discriminator(ResidualTrunk):
    """StyleGAN2's residual discriminator, conditioned by projection: one output a label, summed under the label probabilities.

    Example:
        >>> import torch
        >>> discriminator = Discriminator(DiscriminatorConfig(resolution=8, channels=(6, 4), hidden=7, labels=2))
        >>> discriminator(torch.zeros(4, 3, 8, 8), torch.full((4, 2), 0.5)).shape
        torch.Size([4, 1])

    """

    config_class = DiscriminatorConfig
    config: DiscriminatorConfig

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__(config, config.labels)

    def forward(self, image: Tensor, label_probabilities: Tensor) -> Tensor:
        """`image` [N, 3, R, R] in [-1, 1] and `label_probabilities` [N, labels] to scores [N, 1], higher for real.

        Raises ValueError for another shape of either, or a batch that groups of the minibatch standard deviation do not divide.
        """
        if label_probabilities.shape != (image.shape[0], self.config.labels):
            expected = [image.shape[0], self.config.labels]
            raise ValueError(f"label probabilities are {expected} for these images, not {list(label_probabilities.shape)}")
        return (self.trunk(image) * label_probabilities).sum(1, keepdim=True)
