"""The generator: z to w, dlatent to styles, styles to an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylexport.torch_models.config import GeneratorConfig
from stylexport.torch_models.layers.mapping import MappingNetwork
from stylexport.torch_models.layers.styles import StyleVectors
from stylexport.torch_models.layers.synthesis import Synthesis
from stylexport.torch_models.pretrained import PretrainedNetwork


class Generator(PretrainedNetwork):
    """StyleGAN2's generator with label probabilities in its latent (StylEx). Parts: `mapping`, `style_vectors`, `synthesis`.

    `w_avg` [latent] is the running mean of w that truncation pulls towards. z [N, z] to w [N, latent] is `mapping`.

    Example:
        >>> generator = Generator(GeneratorConfig(resolution=8, channels=(6, 4), latent=5, labels=2))
        >>> dlatent = torch.cat([torch.zeros(3, 5), torch.tensor([0.9, 0.1]).expand(3, 2)], 1)  # w, then label probabilities
        >>> generator(dlatent).shape
        torch.Size([3, 3, 8, 8])

    """

    config_class = GeneratorConfig
    config: GeneratorConfig
    w_avg: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__(config)
        self.register_buffer("w_avg", torch.zeros(config.latent))
        self.mapping = MappingNetwork(config)
        self.style_vectors = StyleVectors(config)
        self.synthesis = Synthesis(config)

    def truncate(self, w: Tensor, psi: float) -> Tensor:
        """w_avg + psi (w - w_avg): the truncation trick (StyleGAN, appendix B). Label probabilities behind w stay as they are."""
        own, rest = w[..., : self.config.latent], w[..., self.config.latent :]
        return torch.cat([torch.lerp(self.w_avg.to(w.dtype).expand_as(own), own, psi), rest], -1)

    def forward(self, dlatent: Tensor, noise: str | Sequence[Tensor] = "const", truncation_psi: float = 1.0) -> Tensor:
        """Images [N, 3, R, R], unclipped, of `dlatent` [N, latent + labels]. `noise`: `Synthesis`; psi 1 truncates nothing."""
        if truncation_psi != 1.0:
            dlatent = self.truncate(dlatent, truncation_psi)
        return self.synthesis(self.style_vectors(dlatent), noise)
