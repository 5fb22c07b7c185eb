"""StyleGAN2 as NVIDIA's programs train it (Karras et al. 2020): a StylEx's generator and discriminator without label probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stylexport.torch_models.generator import Generator
from stylexport.torch_models.layers.equalized import Dense
from stylexport.torch_models.layers.mapping import MappingNetwork
from stylexport.torch_models.residual import ResidualTrunk
from stylexport.torch_models.stylegan2_config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig


class ClassMapping(MappingNetwork):
    """z [N, z], and where there are classes their weights [N, classes] (one-hot: of one class), to w [N, latent]. `embed` embeds these."""

    config: StyleGAN2GeneratorConfig

    def __init__(self, config: StyleGAN2GeneratorConfig) -> None:
        super().__init__(config)
        if config.label_embedding == "separate":
            self.embed: nn.Module = Dense(config.classes, config.embedding)
        elif config.label_embedding == "joint":
            self.embed = nn.Linear(config.classes, config.embedding, bias=False)

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """`z` [N, z], usually standard normal, to w [N, latent]. Raises ValueError where z or classes have another shape."""
        self.check(z)
        if not self.config.classes:
            if classes is not None:
                raise ValueError("this generator has no classes to choose from")
            return self.dense(self.normalize(z))
        if classes is None or classes.shape != (len(z), self.config.classes):
            found = "none" if classes is None else list(classes.shape)
            raise ValueError(f"this generator's images are of {self.config.classes} classes: give [N, {self.config.classes}], not {found}")
        embedded = self.embed(classes.to(z.dtype))
        if self.config.label_embedding == "joint":
            return self.dense(self.normalize(torch.cat([z, embedded], 1)))
        return self.dense(torch.cat([self.normalize(z), self.normalize(embedded)], 1))


class StyleGAN2Generator(Generator):
    """StyleGAN2's generator. w [N, latent] takes the place of a StylEx's dlatent; its StyleSpace is the same.

    Example:
        >>> generator = StyleGAN2Generator(StyleGAN2GeneratorConfig(resolution=8, channels=(6, 4), latent=5, z=5, mapping_layers=2))
        >>> generator.sample(torch.zeros(3, 5), truncation_psi=0.7).shape
        torch.Size([3, 3, 8, 8])

    """

    config_class = StyleGAN2GeneratorConfig
    config: StyleGAN2GeneratorConfig
    mapping: ClassMapping

    def __init__(self, config: StyleGAN2GeneratorConfig) -> None:
        super().__init__(config)
        self.mapping = ClassMapping(config)

    def sample(
        self, z: Tensor, classes: Tensor | None = None, noise: str | Sequence[Tensor] = "const", truncation_psi: float = 1.0
    ) -> Tensor:
        """Images [N, 3, R, R], unclipped, of z [N, z]: of `classes` [N, classes] (one-hot) where the generator has some."""
        return self(self.mapping(z, classes), noise, truncation_psi)


class StyleGAN2Discriminator(ResidualTrunk):
    """StyleGAN2's residual discriminator: an image, and where there are classes its class, to one score.

    Example:
        >>> discriminator = StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(resolution=8, channels=(6, 4), hidden=7))
        >>> discriminator(torch.zeros(4, 3, 8, 8)).shape
        torch.Size([4, 1])

    """

    config_class = StyleGAN2DiscriminatorConfig
    config: StyleGAN2DiscriminatorConfig

    def __init__(self, config: StyleGAN2DiscriminatorConfig) -> None:
        super().__init__(config, config.outputs)

    def forward(self, image: Tensor, classes: Tensor | None = None) -> Tensor:
        """`image` [N, 3, R, R] in [-1, 1] and one-hot `classes` [N, classes] to scores [N, 1], higher for real.

        Raises ValueError for another shape of either, or a batch that groups of the minibatch standard deviation do not divide.
        """
        scores = self.trunk(image)
        if not self.config.classes and classes is None:
            return scores
        if classes is None or classes.shape != (len(image), self.config.classes):
            found = "none" if classes is None else list(classes.shape)
            raise ValueError(f"these images are of {self.config.classes} classes: give [N, {self.config.classes}], not {found}")
        return (scores * classes).sum(1, keepdim=True)
