"""What reads a file by a function, where a whole command would take long: each prints what it found, as a command does."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.latents import read_latents
from stylexport.attfind.select.attributes import read_attributes
from stylexport.common.pictures import read_picture
from stylexport.converter.output.ledger import read_ledger
from stylexport.torch_models import StylEx
from stylexport.training.config import load


def digest(values: Any) -> str:
    """Of an array's shape, type and bytes."""
    array = np.ascontiguousarray(values)
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


def converted(folder: Path) -> object:
    """A converted folder, opened, and its ledger."""
    stylex = StylEx.from_pretrained(folder)
    read_ledger(folder / "encoder" / "conversion.json")
    return {name: digest(tensor.numpy()) for name, tensor in stylex.state_dict().items()}


def run(folder: Path) -> object:
    """A run of AttFind that is not finished."""
    found = Effects.load(folder)
    return digest(found.effects), digest(found.latents), found.layers, found.labels


def attributes(folder: Path) -> object:
    """A run's selection."""
    return read_attributes(folder).to_json()


def settings(path: Path) -> object:
    """A training's settings."""
    return load(path).to_json()


def picture(path: Path) -> object:
    """A picture as a network takes it."""
    return digest(read_picture(path, 8, 8))


def latents(path: Path) -> object:
    """Latents to measure."""
    return digest(read_latents(path, 34).latents)
