"""What a selection asks of the networks: the discriminator's score of one move, the classifier's logits of several moves together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.counterfactual import Move, moved, render, targets
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.model import ImageEditor, layer_of
from stylexport.attfind.select.rules import Discriminator, LogitsOfStyles
from stylexport.attfind.select.strategies import LogitsOfMoves
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.errors import BadInput
from stylexport.common.types import Array


def discriminator_of(subject: Subject) -> Discriminator:
    """How much one move in one image changes the score of the StylEx's discriminator: the score after less the score before.

    Each image is scored alone, with the label probabilities in its dlatent, as the authors do. Raises BadInput where there is none.
    """
    model, effects = subject.model, subject.effects
    network = model.stylex.discriminator if isinstance(model, StylExModel) else None
    if network is None or not isinstance(model, StylExModel):
        raise BadInput("this model has no discriminator; convert it too, or select without it")
    labels = model.generator.config.labels
    if getattr(network.config, "classes", 0):
        raise BadInput("this discriminator scores images of a class, which latents do not hold; select without it")

    def score(picture: Tensor, latent: Tensor) -> float:
        return float(network(picture, latent[None, -labels:]) if labels else network(picture))

    @lru_cache(maxsize=64)
    def before(image: int) -> tuple[ImageEditor, Tensor, float]:
        latent = _latent(subject, image)
        return model.editor(latent), latent, score(model.decode(latent[None]), latent)

    def change(image: int, coordinate: int, direction: int, shift: float) -> float:
        with torch.no_grad():
            editor, latent, base = before(image)
            goal = targets(effects.styles[image], shift, effects.style_min, effects.style_max)[direction, coordinate]
            value = torch.tensor([goal], device=model.device)
            return score(editor.change(layer_of(model.layers, coordinate), [coordinate], value), latent) - base

    return change


def logits_of_styles(subject: Subject, batch: int = 32) -> LogitsOfStyles:
    """The classifier's logits of an image under whole style vectors, `batch` images at a time."""
    model = subject.model

    @lru_cache(maxsize=1)
    def editor(image: int) -> ImageEditor:
        return model.editor(_latent(subject, image))

    def logits(image: int, styles: Array) -> Array:
        with torch.no_grad():
            found = [subject.classify(images).float().cpu().numpy() for images in render(editor(image), styles, model.device, batch)]
        return np.concatenate(found)

    return logits


def logits_of_moves(effects: Effects, image: int, logits: LogitsOfStyles) -> LogitsOfMoves:
    """The logits of one image under sets of moves, each set made together in an image."""
    shift = float(effects.about.get("shift", 1.0))

    def of(sets: list[list[Move]]) -> Array:
        styles = [moved(effects.styles[image], moves, shift, effects.style_min, effects.style_max) for moves in sets]
        return logits(image, np.stack(styles))

    return of


def _latent(subject: Subject, image: int) -> Tensor:
    return torch.tensor(subject.effects.latents[image], device=subject.model.device)
