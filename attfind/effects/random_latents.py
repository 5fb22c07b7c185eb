"""Latents of z: for a generator without an encoder, whose images are of random z (StyleGAN2), or of the z that a file holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stylexport.attfind.model import Explained
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.torch_models.stylegan2 import StyleGAN2Generator

BATCH = 256  # z that are mapped at once


@dataclass(frozen=True)
class RandomLatents:
    """`count` images of z from a normal distribution, drawn by `seed`, in place of latents (`AttFind.effects`).

    `truncation` (psi) below 1 pulls w towards its mean: images become better and more alike. Where the generator has classes, they are
    drawn too. Raises BadInput where a number makes no sense.

    Example:
        >>> RandomLatents(100, seed=1, truncation=0.7).facts
        {'random': 100, 'seed': 1, 'truncation': 0.7}

    """

    count: int
    seed: int = 0
    truncation: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise BadInput(f"{self.count} random images: at least one is needed")
        if self.seed < 0:
            raise BadInput(f"seed {self.seed}: must not be negative")
        if not (np.isfinite(self.truncation) and 0 <= self.truncation <= 1):
            raise BadInput(f"truncation {self.truncation}: must lie between 0 (every image the mean) and 1 (none truncated)")

    @property
    def facts(self) -> dict[str, float]:
        """What run.json says of them."""
        return {"random": self.count, "seed": self.seed, "truncation": self.truncation}

    def draw(self, model: Explained) -> Array:
        """The latents [N, D]. Raises BadInput where the model has no z, or w alone is no latent of it."""
        generator = generator_of_z(model)
        random = np.random.default_rng(self.seed)
        z = random.standard_normal((self.count, generator.config.z)).astype(np.float32)
        classes = generator.config.classes
        return latents_of_z(model, z, np.eye(classes, dtype=np.float32)[random.integers(0, classes, self.count)] if classes else None, self)


def generator_of_z(model: Explained) -> StyleGAN2Generator:
    """The model's generator. Raises BadInput where z does not give its latents: those of a StylEx hold label probabilities too."""
    generator = model.generator if isinstance(model, StylExModel) else None
    if not isinstance(generator, StyleGAN2Generator):
        raise BadInput(
            "z gives latents of a StyleGAN2 generator only; a StylEx's hold the classifier's probabilities too: give pictures or latents"
        )
    return generator


@torch.no_grad()
def latents_of_z(model: Explained, z: Array, classes: Array | None = None, random: RandomLatents | None = None) -> Array:
    """The latents w [N, D] of z [N, z], of one-hot `classes` [N, classes] where the generator has some. Raises BadInput."""
    generator = generator_of_z(model)
    device, found = next(generator.parameters()).device, []
    for start in range(0, len(z), BATCH):
        parts = [torch.from_numpy(values[start : start + BATCH]).to(device) for values in (z, classes) if values is not None]
        try:
            w = generator.mapping(*parts)
        except (ValueError, IndexError) as error:  # of another shape
            raise BadInput(f"z does not fit the generator ({error})") from error
        found.append(generator.truncate(w, random.truncation) if random is not None and random.truncation != 1 else w)
    return torch.cat(found).float().cpu().numpy()
