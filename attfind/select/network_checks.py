"""What a selection asks of the networks: the discriminator's opinion of a change, the classifier's of several together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.effects.measure import targets
from stylexport.attfind.model import Painter, StylExModel, layer_of
from stylexport.attfind.select.select import Discriminator, Logits
from stylexport.attfind.show.image_editor import paint
from stylexport.common.errors import BadInput
from stylexport.common.types import Array


def discriminator_of(subject: Subject) -> Discriminator:
    """How much one change of one image moves the StylEx's discriminator: its score after less its score before.

    Each image is scored alone, with the label probabilities in its dlatent, as the authors do. Raises BadInput where there is none.
    """
    model, effects = subject.model, subject.effects
    judge = model.stylex.discriminator if isinstance(model, StylExModel) else None
    if judge is None or not isinstance(model, StylExModel):
        raise BadInput("this model has no discriminator; convert it too, or select without it")
    labels = model.generator.config.labels

    def score(picture: Tensor, latent: Tensor) -> float:
        return float(judge(picture, latent[None, -labels:]))

    @lru_cache(maxsize=64)
    def before(image: int) -> tuple[Painter, Tensor, float]:
        latent = _latent(subject, image)
        return model.painter(latent), latent, score(model.decode(latent[None]), latent)

    def change(image: int, coordinate: int, direction: int, shift: float) -> float:
        with torch.no_grad():
            painter, latent, base = before(image)
            goal = targets(effects.styles[image], shift, effects.style_min, effects.style_max)[direction, coordinate]
            value = torch.tensor([goal], device=model.device)
            return score(painter.change(layer_of(model.layers, coordinate), [coordinate], value), latent) - base

    return change


def logits_of(subject: Subject, batch: int = 32) -> Logits:
    """The classifier's logits of an image under whole style vectors, `batch` images at a time."""
    model = subject.model

    @lru_cache(maxsize=1)
    def painter(image: int) -> Painter:
        return model.painter(_latent(subject, image))

    def logits(image: int, styles: Array) -> Array:
        with torch.no_grad():
            found = [subject.classify(pictures).float().cpu().numpy() for pictures in paint(painter(image), styles, model.device, batch)]
        return np.concatenate(found)

    return logits


def _latent(subject: Subject, image: int) -> Tensor:
    return torch.tensor(subject.effects.latents[image], device=subject.model.device)
