"""A run for the studies' tests: the embedded release's model and digits, effects that are known, and attributes chosen from them."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.load_run import open_model
from stylexport.attfind.select.attributes import Attribute, Selection, write_attributes
from stylexport.common.types import Array
from stylexport.demonstration import digits_as_images

IMAGES = 24
# coordinate, direction, target: of b4.conv1, b8.conv0 (its first) and twice b32.conv1, among the embedded release's 108
CHOSEN = ((9, 1, 0), (98, 1, 1), (16, 0, 0), (99, 1, 0))


def make_run(folder: Path, converted: Path, digits: Path) -> Path:
    """A run of 24 digits, the first twelve of each class, whose effects are drawn from a seed, with four attributes selected."""
    model = open_model(converted)
    with np.load(digits) as file, torch.no_grad():
        labels = file["labels"]
        rows = np.sort(np.concatenate([np.flatnonzero(labels == label)[: IMAGES // 2] for label in (0, 1)]))
        latents = model.encode(digits_as_images(file["images"][rows])).numpy()
        run = create_run(folder, model, model.stylex.classify, latents, labels=("8", "9"), about={"model_path": str(converted)})
    effects = np.random.default_rng(5).normal(size=(IMAGES, 2, run.arrays["styles"].shape[1], 2)).astype(np.float32)
    for image, found in enumerate(effects):
        run.add(image, found)
    run.finish()
    attributes = []
    for score, (coordinate, direction, target) in enumerate(CHOSEN):
        layer = next(layer for layer in model.layers if coordinate in layer.coordinates)
        attributes.append(Attribute(direction, coordinate, layer.name, coordinate - layer.first, 4.0 - score, target))
    write_attributes(folder, Selection(tuple(attributes), {}))
    return folder


def page_data(folder: Path) -> dict[str, Any]:
    """What a form's page knows."""
    text = (folder / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', text, re.S)
    assert found
    return dict(json.loads(found[1]))


def key_of(folder: Path) -> dict[str, Any]:
    """A form's key."""
    return dict(json.loads((folder / "key.json").read_text(encoding="utf-8")))


def pixels(uri: str) -> Array:
    """A picture of the page, [3, R, R] in 0 ... 255."""
    picture = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    return np.asarray(picture, np.float64).transpose(2, 0, 1)
