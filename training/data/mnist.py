"""Chosen digits of MNIST as images: 28 pixels and a black border of two, in three equal channels. They are never mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stylexport.checkpoints.mnist import Digits, mnist
from stylexport.common.types import Array
from stylexport.training.data.images import Images

BORDER = 2
PADDED = 28 + 2 * BORDER


def open_digits(digits: Sequence[int], part: str, resolution: int = PADDED, folder: Path | None = None) -> Images:
    """The digits of a part, "train" or "held_out"; a label is the digit's position in `digits`, its name the digit.

    Raises BadInput where MNIST cannot be had, DamagedFile where a file of it is broken.
    """
    train, held_out = mnist(folder)
    own = {"train": train, "held_out": held_out}[part].only(digits)
    return Images(prepare_digits(own, resolution), own.labels, [str(digit) for digit in digits], flippable=False)


def prepare_digits(digits: Digits, resolution: int) -> Array:
    """Digits as uint8 [N, 1, R, R]: with their border at 32 pixels, resized from that (bilinear, antialiased) to any other size."""
    padded = np.pad(digits.images, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    if resolution != PADDED:
        size = (resolution, resolution)
        padded = np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in padded])
    return padded[:, None]
