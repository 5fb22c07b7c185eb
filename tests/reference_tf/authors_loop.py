"""AttFind's inner loop as its authors run it, in TensorFlow: one coordinate, one direction, one image at a time.

Lang et al. 2021, algorithm 1. This is what the batched search in PyTorch is held against; it shares no code with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylexport.common.types import Array
from stylexport.reference_tf.networks import forward


@dataclass(frozen=True)
class LoopEffects:
    """`base_logits` [N, L] of the reconstructions, `effects` [N, 2, C, L] of C coordinates, `style_min` and `style_max` [S]."""

    base_logits: Array
    effects: Array
    style_min: Array
    style_max: Array


def effects_loop(generator: Any, classifier: Any, dlatents: Array, images: Sequence[int], coordinates: Sequence[int]) -> LoopEffects:
    """Effects of `coordinates` on `images`, given by their places among StyleSpace's S coordinates and among `dlatents` [N, D].

    Minimum and maximum of a coordinate are over all dlatents. Each change is: styles by `style_vector_calculator`, the difference to the
    extreme added to one coordinate, the image by `g_synthesis`, clipped to [-1, 1], channels last, the classifier's raw logits, less those
    of the unchanged image.
    """
    conv, torgb = forward.styles(generator, dlatents)
    sizes = [style.shape[1] for style in conv]
    space = np.concatenate(conv, axis=1)
    extremes = np.stack([space.min(axis=0), space.max(axis=0)])  # direction 0 goes to the minimum, 1 to the maximum

    def logits(image: int, change: Array) -> Array:
        """Of one image whose StyleSpace [S] has `change` [S] added."""
        changed = np.split(space[image : image + 1] + change, np.cumsum(sizes)[:-1], axis=1)
        picture = np.clip(forward.image(generator, changed, [style[image : image + 1] for style in torgb]), -1, 1)
        return forward.logits(classifier, picture.transpose(0, 2, 3, 1))[0]

    base = np.stack([logits(image, np.zeros_like(space[0])) for image in images])
    effects = np.zeros((len(images), 2, len(coordinates), base.shape[1]), np.float32)
    for row, image in enumerate(images):
        for direction in (0, 1):
            for column, coordinate in enumerate(coordinates):
                change = np.zeros_like(space[image])
                change[coordinate] = extremes[direction, coordinate] - space[image, coordinate]
                effects[row, direction, column] = logits(image, change) - base[row]
    return LoopEffects(base, effects, *extremes)
