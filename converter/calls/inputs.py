"""What goes into a network that is recorded: the user's own tensors, pictures or latents, else numbers that a seed gives. All float32.

Every input has a name (`z`, `dlatent`, `image`, `probabilities`, or what a user's own network calls it) and its own generator of random
numbers, seeded by both: the same seed gives the same z whatever else is recorded. Images are [N, C, H, W] here, in [-1, 1] where the
graph does not tell another range.
"""

from __future__ import annotations

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.pictures import read_picture
from stylexport.common.types import Array
from stylexport.converter.calls.draws import draw, smooth_images, spread
from stylexport.converter.calls.ranges import Range
from stylexport.converter.calls.user_inputs import UserInputs

Sizes = tuple[int, ...]
Shape = tuple[int | None, ...] | None

IMAGE_RANKS = 3  # channels, height, width
UNKNOWN = 64  # the size that is given to an axis that may have any


class Inputs:
    """The inputs of one recording, asked for by name and shape.

    `made` holds what the recording itself computed and later networks take: the mapping's "w" [N, latent], the generator's "image"
    [N, C, R, R].
    """

    def __init__(self, user: UserInputs) -> None:
        self.user = user
        self.made: dict[str, Array] = {}

    def has(self, name: str) -> bool:
        """Whether the user gave this input."""
        return name in self.user.tensors

    def tensor(self, name: str, shape: Shape, samples: int, within: Range | None = None, layout: str = "") -> Array:
        """An input [samples, *shape] as the user gave it, else random by its kind; an axis that `shape` leaves open is the user's, or 64.

        `within`: what the graph takes, in the order of axes of its `layout`; without it images are in [-1, 1] and other numbers from a
        normal distribution. Raises BadInput where the user's has another shape, or the number of axes is not known.
        """
        if self.has(name):
            return self._given(name, shape, samples)
        if shape is None:
            raise BadInput(f"the graph does not have the shape of its input {name}; give a tensor of this name by --inputs")
        sizes = tuple(UNKNOWN if size is None else size for size in shape)
        if name == "probabilities":
            return self._probabilities(sizes[0], samples)
        if len(sizes) == IMAGE_RANKS and (self.user.pictures or within is None):
            images = self._images(name, sizes, samples)
            return images if within is None else spread(images, within, layout)
        if within is not None:
            return draw(self._random(name), within, samples, sizes, layout)
        return self._random(name).standard_normal((samples, *sizes)).astype(np.float32)

    def dlatent(self, latent: int, labels: int, samples: int) -> Array:
        """[samples, latent + labels]: the user's, else float32(w) where the run made it, else a normal draw, with probabilities behind."""
        if self.has("dlatent"):
            return self.tensor("dlatent", (latent + labels,), samples)
        latents = self.user.latents
        if latents is not None:
            if latents.shape[1] != latent + labels:
                raise BadInput(f"--latents: rows of {latents.shape[1]} entries, the generator takes {latent + labels}; give its own")
            return latents[:samples]
        w = self.made.get("w")
        if w is None or w.shape != (samples, latent):
            w = self._random("w").standard_normal((samples, latent)).astype(np.float32)
        if not labels:
            return w
        return np.concatenate([w, self.tensor("probabilities", (labels,), samples)], axis=1)

    def _given(self, name: str, shape: Shape, samples: int) -> Array:
        value = self.user.tensors[name][:samples]
        fits = shape is None or (len(shape) == value.ndim - 1 and all(n in (None, m) for n, m in zip(shape, value.shape[1:], strict=True)))
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape or ())
            remedy = "an image is [N, channels, height, width] whatever the graph has" if len(shape or ()) == IMAGE_RANKS else "reshape it"
            raise BadInput(f"--inputs: {name} is {list(value.shape)}, the network takes [N, {wanted}]; {remedy}")
        return value

    def _probabilities(self, labels: int, samples: int) -> Array:
        """Those of the latents, else the softmax of random logits."""
        dlatents = self.user.tensors.get("dlatent", self.user.latents)
        if dlatents is not None and dlatents.ndim == 2 and dlatents.shape[1] > labels:
            return dlatents[:samples, -labels:]
        logits = 2 * self._random("probabilities").standard_normal((samples, labels))
        exact = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (exact / exact.sum(axis=1, keepdims=True)).astype(np.float32)

    def _images(self, name: str, shape: Sizes, samples: int) -> Array:
        """The user's pictures; else the run's own images for half of the samples, and smooth random ones."""
        channels, height, width = shape
        if self.user.pictures:
            return np.stack([read_picture(path, height, width, channels=channels) for path in self.user.pictures[:samples]])
        images = smooth_images(self._random(name), samples, shape)
        made = self.made.get("image")
        if made is not None and made.shape == images.shape:
            half = (samples + 1) // 2
            images[:half] = np.clip(made[:half], -1, 1)
        return images

    def _random(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.user.seed, *name.encode()])
