"""The mapping network, z to w (Karras et al. 2019, "A Style-Based Generator Architecture", section 2)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from stylexport.torch_models.config import GeneratorConfig
from stylexport.torch_models.layers.equalized import Dense, LeakyReLU
from stylexport.torch_models.layers.precision import full_dtype


class MappingNetwork(nn.Module):
    """z [N, z] -> w [N, latent]: normalise by the second moment, then `fc0` ... of dense and leaky ReLU."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        activation = LeakyReLU(config.leaky_slope, config.gain)
        for i, (inputs, outputs) in enumerate(pairwise(config.mapping_sizes)):
            self.add_module(f"fc{i}", Dense(inputs, outputs, lr_multiplier=config.mapping_lr_multiplier, activation=activation))

    def forward(self, z: Tensor) -> Tensor:
        """`z` [N, z], usually standard normal, to w [N, latent]. Raises ValueError for another length."""
        self.check(z)
        return self.dense(self.normalize(z))

    def check(self, z: Tensor) -> None:
        """Raises ValueError where z has another length."""
        if z.shape[-1] != self.config.z:
            raise ValueError(f"z holds {self.config.z} values, not {z.shape[-1]}")

    def normalize(self, x: Tensor) -> Tensor:
        """`x` [N, C] divided by the root of the mean of its squares."""
        wide = x.to(full_dtype(x))
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.config.normalize_epsilon)).to(x.dtype)

    def dense(self, x: Tensor) -> Tensor:
        """What is normalised through all layers, to w."""
        for i in range(self.config.mapping_layers):
            x = getattr(self, f"fc{i}")(x)
        return x
