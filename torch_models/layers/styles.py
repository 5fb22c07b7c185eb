"""From a dlatent to the style of every layer (StyleSpace: Wu et al. 2021, "StyleSpace Analysis"; Lang et al. 2021, StylEx)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from stylexport.torch_models.config import GeneratorConfig, channels_by_resolution
from stylexport.torch_models.layers.equalized import Dense


class Styles(NamedTuple):
    """The styles of a batch in the released order, each [N, C], C the layer's input channels. One row may stand for all N.

    `conv`: b4.conv1, b8.conv0, b8.conv1, b16.conv0, ...; their concatenation is StyleSpace (5,760 coordinates at 256 px).
    `torgb`: b4, b8, b16, ...; not among AttFind's coordinates.

    Example:
        >>> import torch
        >>> vectors = StyleVectors(GeneratorConfig(resolution=8, channels=(6, 4), latent=5, labels=2))
        >>> styles = vectors(torch.zeros(1, 7))
        >>> [style.shape[1] for style in styles.conv], [style.shape[1] for style in styles.torgb]
        ([6, 6, 4], [6, 4])

    """

    conv: tuple[Tensor, ...]
    torgb: tuple[Tensor, ...]


def conv_layers(config: GeneratorConfig) -> dict[str, int]:
    """{"b4.conv1": its style's size, "b8.conv0": ..., ...} in the released order: where a StyleSpace coordinate lies."""
    channels = channels_by_resolution(config.resolution, config.channels)
    sizes = {"b4.conv1": channels[4]}
    for r in list(channels)[1:]:
        sizes |= {f"b{r}.conv0": channels[r // 2], f"b{r}.conv1": channels[r]}
    return sizes


def torgb_layers(config: GeneratorConfig) -> dict[str, int]:
    """{"b4.torgb": its style's size, "b8.torgb": ..., ...} in the released order."""
    return {f"b{r}.torgb": c for r, c in channels_by_resolution(config.resolution, config.channels).items()}


class StyleVectors(nn.Module):
    """One affine a layer: style = dense(dlatent) + bias + 1. The bias stays as TensorFlow stores it, without the one.

    A bias that was stored with the one (NVIDIA's, in PyTorch) stays as it is too: then nothing is added (`style_offset`).

    Modules: `b4.conv1`, `b4.torgb`, `b8.conv0`, `b8.conv1`, `b8.torgb`, ...
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for name, size in (conv_layers(config) | torgb_layers(config)).items():
            block, layer = name.split(".")
            if block not in self._modules:
                self.add_module(block, nn.ModuleDict())
            blocks = self._modules[block]
            assert isinstance(blocks, nn.ModuleDict)
            blocks[layer] = Dense(config.dlatent, size)

    def forward(self, dlatent: Tensor) -> Styles:
        """The styles of `dlatent` [N, latent + labels]. Raises ValueError for another length."""
        if dlatent.shape[-1] != self.config.dlatent:
            lengths = f"{self.config.latent} + {self.config.labels}"
            raise ValueError(f"a dlatent is w and the label probabilities, {lengths} values, not {dlatent.shape[-1]}")

        def style(name: str) -> Tensor:
            block, layer = name.split(".")
            made: Tensor = getattr(getattr(self, block), layer)(dlatent)
            return made + self.config.style_offset if self.config.style_offset else made

        return Styles(tuple(map(style, conv_layers(self.config))), tuple(map(style, torgb_layers(self.config))))
