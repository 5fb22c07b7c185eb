"""The embedded release's held-out digits as a folder of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

DEMO = Path(__file__).parents[2] / "checkpoints" / "demo"
LABELS = ("8", "9")


def folder_of_digits(folder: Path, count: int) -> Path:
    """The first `count` digits as FOLDER/8/000.png, FOLDER/9/001.png, ...: of 32 pixels, as the encoder takes them."""
    with np.load(DEMO / "digits.npz") as file:
        images, labels = file["images"][:count], file["labels"][:count]
    for i, (image, label) in enumerate(zip(np.pad(images, ((0, 0), (2, 2), (2, 2))), labels, strict=True)):
        place = folder / LABELS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    return folder
