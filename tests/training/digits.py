"""A folder of real digits, and a training small enough to be run in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import DEMO


def digits_folder(folder: Path, count: int = 64) -> Path:
    """The first `count` held-out eights and nines of the embedded release as PNG files of 32 x 32, a subfolder a label."""
    with np.load(DEMO / "digits.npz") as file:
        images, labels = np.pad(file["images"][:count], ((0, 0), (2, 2), (2, 2))), file["labels"][:count]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / ("8", "9")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.png")
    return folder


def settings(folder: Path, data: Path, **groups: str) -> Path:
    """A configuration of 16 px: all losses, twelve steps of eight images; `groups` are added as lines of YAML."""
    lines = {
        "data": f"{{kind: folder, path: '{data}', resolution: 16, workers: 0, flip: false, held_out: 0.25}}",
        "model": "{channels: [12, 8, 8], latent: 8, z: 8, hidden: 16, mapping_layers: 2}",
        "losses": "{image_l1: 10, r1_every: 4, path_length_every: 3, path_length: 0.5}",
        "optimiser": "{learning_rate: 0.01}",
        "run": "{steps: 12, batch: 8, log_every: 2, checkpoint_every: 4, ema_half_life: 100, stuck_after: 0}",
        "metrics": "{images: 8}",
    } | groups
    path = folder / "settings.yaml"
    path.write_text("".join(f"{name}: {line}\n" for name, line in lines.items()))
    return path
