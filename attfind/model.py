"""What AttFind needs of a generative model: latents of images, style coordinates of a latent, images of changed coordinates.

A StylEx has all of it (`StylExModel`). Any autoencoder with a vector latent has enough (`Autoencoder`): its latent's entries are then the
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from stylexport.common.errors import BadInput
from stylexport.torch_models.layers.styles import Styles, conv_layers
from stylexport.torch_models.layers.synthesis import SynthesisBlock
from stylexport.torch_models.stylex import StylEx

CONST = ("const", "const")  # the released noise in both of a block's convolutions


@dataclass(frozen=True)
class Layer:
    """A layer's coordinates: its name ("b64.conv0"), the first one's index among all, and how many there are."""

    name: str
    first: int
    size: int

    @property
    def coordinates(self) -> range:
        """Their indices."""
        return range(self.first, self.first + self.size)


class Painter(Protocol):
    """Images of one latent under changes of its style coordinates. What no change touches is computed once."""

    def change(self, layer: Layer, coordinates: Sequence[int], values: Tensor) -> Tensor:
        """Images [B, 3, R, R], in each of which one coordinate (its index among all) has the value `values` [B].

        The coordinates are of `layer` or of layers above it; what lies below `layer` is not computed again.
        """
        ...

    def paint(self, styles: Tensor) -> Tensor:
        """Images [B, 3, R, R] of whole style vectors [B, S]."""
        ...


class Explained(Protocol):
    """A generative model whose coordinates AttFind moves. Images are [N, 3, R, R], clipped to `image_range`."""

    layers: tuple[Layer, ...]
    image_range: tuple[float, float]
    device: torch.device

    def encode(self, images: Tensor) -> Tensor:
        """Images to latents [N, D]."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [N, D] to images."""
        ...

    def styles(self, latents: Tensor) -> Tensor:
        """Latents [N, D] to their style coordinates [N, S]."""
        ...

    def painter(self, latent: Tensor) -> Painter:
        """The painter of one latent [D]."""
        ...


def layer_of(layers: Sequence[Layer], coordinate: int) -> Layer:
    """The layer that a coordinate belongs to. Raises IndexError where there is none."""
    for layer in layers:
        if coordinate in layer.coordinates:
            return layer
    raise IndexError(f"coordinate {coordinate} is not among the {sum(layer.size for layer in layers)} of this model")


class StylExModel:
    """A StylEx: its coordinates are StyleSpace, the convolutions' styles side by side (5,760 at 256 px)."""

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

    def painter(self, latent: Tensor) -> StylePainter:
        """The painter of one dlatent [D]."""
        return StylePainter(self, latent)


class StylePainter:
    """One dlatent's images. What enters each layer is kept, so that a change costs its own layer and those above it."""

    def __init__(self, model: StylExModel, latent: Tensor) -> None:
        self.model, self.synthesis = model, model.generator.synthesis
        styles = model.generator.style_vectors(latent[None])
        self.conv, self.torgb = styles.conv, styles.torgb

    def change(self, layer: Layer, coordinates: Sequence[int], values: Tensor) -> Tensor:
        """Images [B, 3, R, R] with one coordinate of `layer`, or of one above it, changed in each. Layers below are not run again."""
        number = next(i for i, own in enumerate(self.model.layers) if own.name == layer.name)
        conv = self._changed(number, coordinates, values)
        own = (number + 1) // 2
        block = self._block(own)
        x = self._kept.inputs[number]
        if number % 2:
            x = block.conv0(x, conv[number])
        x = block.conv1(x, conv[2 * own])
        image = self._kept.doubled[own] + block.torgb(x, self.torgb[own])
        for i in range(own + 1, len(self.torgb)):
            x, image = self._block(i)(x, image, conv[2 * i - 1 : 2 * i + 1], self.torgb[i], CONST)
        return image.clamp(*self.model.image_range)

    def paint(self, styles: Tensor) -> Tensor:
        """Images [B, 3, R, R] of whole style vectors [B, S]; the toRGB styles stay this latent's."""
        conv = styles.to(self.conv[0]).split([layer.size for layer in self.model.layers], 1)
        torgb = tuple(t.expand(len(styles), -1) for t in self.torgb)
        return self.synthesis(Styles(tuple(conv), torgb)).clamp(*self.model.image_range)

    @cached_property
    def _kept(self) -> Kept:
        """What the unchanged latent sends into every layer; made when it is first needed."""
        first = self._block(0)
        x: Tensor = first.const[None].to(self.conv[0].dtype)
        inputs, doubled, image = [x], [torch.zeros((), dtype=x.dtype, device=x.device)], None
        x = first.conv1(x, self.conv[0])
        image = first.torgb(x, self.torgb[0])
        for i in range(1, len(self.torgb)):
            block = self._block(i)
            middle = block.conv0(x, self.conv[2 * i - 1])
            inputs += [x, middle]
            doubled.append(block.upsample.upsample(image))
            x = block.conv1(middle, self.conv[2 * i])
            image = doubled[i] + block.torgb(x, self.torgb[i])
        return Kept(tuple(inputs), tuple(doubled))

    def _block(self, i: int) -> SynthesisBlock:
        block: SynthesisBlock = getattr(self.synthesis, self.synthesis.blocks[i])
        return block

    def _changed(self, lowest: int, coordinates: Sequence[int], values: Tensor) -> list[Tensor]:
        """The styles of all convolutions: a row an image where a coordinate is changed, else one for all. None is below `lowest`."""
        conv = list(self.conv)
        for number, layer in enumerate(self.model.layers[lowest:], lowest):
            if rows := [row for row, coordinate in enumerate(coordinates) if coordinate in layer.coordinates]:
                conv[number] = conv[number].expand(len(coordinates), -1).clone()
                conv[number][rows, [coordinates[row] - layer.first for row in rows]] = values[rows].to(conv[number])
        return conv


class Kept(NamedTuple):
    """The features [1, C, h, h] that enter each convolution, and the image [1, 3, r, r] that each block adds to (0 at 4 px)."""

    inputs: tuple[Tensor, ...]
    doubled: tuple[Tensor, ...]


class Autoencoder:
    """Any encoder and decoder with a vector latent; its entries are the coordinates (docs/attfind.md works an example).

    `encode` takes images [N, 3, H, W] to latents [N, D] and `decode` the other way; `size` is D.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        decode: Callable[[Tensor], Tensor],
        size: int,
        *,
        image_range: tuple[float, float] = (-1.0, 1.0),
        device: str | torch.device = "cpu",
    ) -> None:
        self._encode, self._decode = encode, decode
        self.layers: tuple[Layer, ...] = (Layer("latent", 0, size),)
        self.image_range, self.device = image_range, torch.device(device)

    def encode(self, images: Tensor) -> Tensor:
        """Images to latents [N, D]."""
        return self._encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [N, D] to images, clipped to the range."""
        return self._decode(latents).clamp(*self.image_range)

    def styles(self, latents: Tensor) -> Tensor:
        """The latents themselves."""
        return latents

    def painter(self, latent: Tensor) -> LatentPainter:
        """The painter of one latent [D]."""
        return LatentPainter(self, latent)


class LatentPainter:
    """One latent's images, by decoding changed copies of it."""

    def __init__(self, model: Autoencoder, latent: Tensor) -> None:
        self.model, self.latent = model, latent

    def change(self, layer: Layer, coordinates: Sequence[int], values: Tensor) -> Tensor:
        """Images of the latent with one entry changed in each."""
        changed = self.latent.expand(len(coordinates), -1).clone()
        rows, entries = range(len(coordinates)), list(coordinates)
        changed[list(rows), entries] = values.to(changed)
        return self.model.decode(changed)

    def paint(self, styles: Tensor) -> Tensor:
        """Images of whole latents [B, D]."""
        return self.model.decode(styles.to(self.latent))
