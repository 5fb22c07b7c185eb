"""The embedded release's held-out digits as a folder of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from stylexport.checkpoints import EMBEDDED

LABELS = ("8", "9")


def digits_folder(folder: Path, count: int = 64) -> Path:
    """The first `count` digits as FOLDER/8/000.png, FOLDER/9/001.png, ...: 32 x 32 pixels, as the encoder takes them."""
    with np.load(EMBEDDED / "digits.npz") as file:
        images, labels = np.pad(file["images"][:count], ((0, 0), (2, 2), (2, 2))), file["labels"][:count]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    return folder
