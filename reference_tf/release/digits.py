"""MNIST's eights and nines, as the embedded release's classifier takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stylexport.checkpoints.mnist import Digits, mnist
from stylexport.common.types import Array

EIGHTS_AND_NINES = (8, 9)


def eights_and_nines(folder: Path | None = None, cache: Path | None = None) -> tuple[Digits, Digits]:
    """(digits to train on, held-out digits), label 0 = eight and 1 = nine, from where `stylexport.checkpoints.mnist` finds them."""
    training, held_out = mnist(folder, cache)
    return training.only(EIGHTS_AND_NINES), held_out.only(EIGHTS_AND_NINES)


def as_images(digits: Array) -> Array:
    """Digits uint8 [N, 28, 28] as the classifier takes them: float32 [N, 32, 32, 3] in [-1, 1], the border black."""
    padded = np.pad(digits, ((0, 0), (2, 2), (2, 2))).astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.repeat(padded[..., None], 3, axis=3)
