"""What AttFind needs of a generative model: latents of images, style coordinates of a latent, images of changed coordinates.

A StylEx has all of it (stylex_model.py). Any autoencoder with a vector latent has enough (`Autoencoder`): its latent's entries are then the
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

Classify = Callable[[Tensor], Tensor]  # images [N, 3, R, R] to raw logits [N, L]


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


class ImageEditor(Protocol):
    """Images of one latent under changes of its style coordinates. What no change reaches is computed once."""

    def change(self, layer: Layer, coordinates: Sequence[int], values: Tensor) -> Tensor:
        """Images [B, 3, R, R], in each of which one coordinate (its index among all) has the value `values` [B].

        The coordinates are of `layer` or of layers above it; what lies below `layer` is not computed again.
        """
        ...

    def render(self, styles: Tensor) -> Tensor:
        """Images [B, 3, R, R] of whole style vectors [B, S]. Gradients pass through."""
        ...


@runtime_checkable
class Explained(Protocol):
    """A generative model whose coordinates AttFind moves. Images are [N, 3, R, R], clipped to `image_range`.

    Example:
        >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
        >>> isinstance(model, Explained)
        True

    """

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

    def editor(self, latent: Tensor) -> ImageEditor:
        """The editor of one latent's [D] images."""
        ...


def layer_of(layers: Sequence[Layer], coordinate: int) -> Layer:
    """The layer that a coordinate belongs to. Raises IndexError where there is none."""
    for layer in layers:
        if coordinate in layer.coordinates:
            return layer
    raise IndexError(f"coordinate {coordinate} is not among the {sum(layer.size for layer in layers)} of this model")


class Autoencoder:
    """Any encoder and decoder with a vector latent; its entries are the coordinates (docs/attfind.md works an example).

    `encode` takes images [N, 3, H, W] to latents [N, D] and `decode` latents to images; `size` is D.

    Example:
        >>> model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
        >>> model.decode(torch.tensor([[0.5, -2.0, 0.0]])).flatten().tolist()
        [0.5, -1.0, 0.0]

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

    def editor(self, latent: Tensor) -> LatentEditor:
        """The editor of one latent's [D] images."""
        return LatentEditor(self, latent)


class LatentEditor:
    """One latent's images, by decoding changed copies of it."""

    def __init__(self, model: Autoencoder, latent: Tensor) -> None:
        self.model, self.latent = model, latent

    def change(self, layer: Layer, coordinates: Sequence[int], values: Tensor) -> Tensor:
        """Images of the latent with one entry changed in each."""
        changed = self.latent.expand(len(coordinates), -1).clone()
        changed[list(range(len(coordinates))), list(coordinates)] = values.to(changed)
        return self.model.decode(changed)

    def render(self, styles: Tensor) -> Tensor:
        """Images of whole latents [B, D]."""
        return self.model.decode(styles.to(self.latent))
