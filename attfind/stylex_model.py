"""A StylEx as AttFind's model: its coordinates are StyleSpace, the convolutions' styles side by side (5,760 at 256 px)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from stylexport.attfind.model import Layer
from stylexport.common.errors import BadInput
from stylexport.torch_models.layers.styles import Styles, conv_layers
from stylexport.torch_models.layers.synthesis import LayerInput
from stylexport.torch_models.stylex import StylEx


class StylExModel:
    """A StylEx whose StyleSpace coordinates AttFind moves. Raises BadInput where it has no generator.

    Example:
        >>> from stylexport.torch_models import Generator
        >>> from stylexport.torch_models.config import GeneratorConfig
        >>> generator = Generator(GeneratorConfig(resolution=8, channels=(6, 4), latent=5, labels=2))
        >>> [(layer.name, layer.size) for layer in StylExModel(StylEx(generator)).layers]
        [('b4.conv1', 6), ('b8.conv0', 6), ('b8.conv1', 4)]

    """

    def __init__(self, stylex: StylEx) -> None:
        if stylex.generator is None:
            raise BadInput("this StylEx has no generator: convert it too")
        self.stylex, self.generator = stylex, stylex.generator
        self.image_range = stylex.image_range
        self.device = next(stylex.generator.parameters()).device
        found, first = [], 0
        for name, size in conv_layers(self.generator.config).items():
            found.append(Layer(name, first, size))
            first += size
        self.layers = tuple(found)

    def encode(self, images: Tensor) -> Tensor:
        """Images [N, 3, R, R] to dlatents [N, latent + labels]: w and the classifier's probabilities."""
        return self.stylex.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Dlatents [N, latent + labels] to images [N, 3, R, R], with the released constant noise."""
        return self.stylex.decode(latents)

    def styles(self, latents: Tensor) -> Tensor:
        """Dlatents to StyleSpace [N, S]."""
        return torch.cat(self.generator.style_vectors(latents).conv, 1)

    def editor(self, latent: Tensor) -> StylExEditor:
        """The editor of one dlatent's [D] images."""
        return StylExEditor(self, latent)


class StylExEditor:
    """One dlatent's images. What enters each layer is kept, so that a change costs its own layer and those above it."""

    def __init__(self, model: StylExModel, latent: Tensor) -> None:
        self.model, self.synthesis = model, model.generator.synthesis
        self.styles: Styles = model.generator.style_vectors(latent[None])

    def change(self, layer: Layer, coordinates: Sequence[int], values: Tensor) -> Tensor:
        """Images [B, 3, R, R] with one coordinate of `layer`, or of one above it, changed in each. Layers below are not run again."""
        lowest = next(i for i, own in enumerate(self.model.layers) if own.name == layer.name)
        conv = list(self.styles.conv)
        for number, above in enumerate(self.model.layers[lowest:], lowest):
            if rows := [row for row, coordinate in enumerate(coordinates) if coordinate in above.coordinates]:
                conv[number] = conv[number].expand(len(coordinates), -1).clone()
                conv[number][rows, [coordinates[row] - above.first for row in rows]] = values[rows].to(conv[number])
        image = self.synthesis.resume(lowest, self._inputs[lowest], Styles(tuple(conv), self.styles.torgb))
        return image.clamp(*self.model.image_range)

    def render(self, styles: Tensor) -> Tensor:
        """Images [B, 3, R, R] of whole style vectors [B, S]; the toRGB styles stay this latent's."""
        conv = styles.to(self.styles.conv[0]).split([layer.size for layer in self.model.layers], 1)
        torgb = tuple(t.expand(len(styles), -1) for t in self.styles.torgb)
        return self.synthesis(Styles(tuple(conv), torgb)).clamp(*self.model.image_range)

    @cached_property
    def _inputs(self) -> tuple[LayerInput, ...]:
        """What enters every layer of the unchanged latent; computed when it is first needed."""
        return self.synthesis.layer_inputs(self.styles)
