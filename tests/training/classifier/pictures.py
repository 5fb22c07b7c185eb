"""A folder of small pictures that a classifier learns in a moment: bright or dark, under noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

LABELS = ("bright", "dark")
LEVEL = {"bright": 150, "dark": 100}


def bright_and_dark(folder: Path, count: int = 40) -> Path:
    """`count` pictures of 16 x 16 pixels a label."""
    rng = np.random.default_rng(11)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for i in range(count):
            values = LEVEL[label] + 60 * rng.standard_normal((16, 16, 3))
            Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / label / f"{i:02}.png")
    return folder
