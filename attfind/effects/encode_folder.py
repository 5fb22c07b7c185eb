"""Pictures of a folder, as a model encodes them. Its subfolders, where it has any, name the pictures' labels.

A picture is made RGB, cut to the square in its middle, and resized to the model's resolution (Pillow's bilinear filter, which is
antialiased); its values 0 ... 255 become the model's range. Nothing else is done to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from stylexport.attfind.effects.latents import Encoded, file_digest
from stylexport.attfind.model import Explained
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array, Progress

SUFFIXES = (".png", ".jpg", ".jpeg")
PREPARED = "RGB, square from the middle, bilinear"


def pictures(folder: Path) -> list[Path]:
    """The PNG and JPEG files in a folder and below, sorted by path. Raises BadInput where there are none."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; --images names one of PNG or JPEG files")
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not found:
        raise BadInput(f"{folder}: holds no PNG or JPEG file")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def folder_digest(folder: Path) -> str:
    """The sha256 of a folder's pictures: their names and bytes."""
    total = hashlib.sha256()
    for path in pictures(folder):
        total.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return total.hexdigest()


def read_picture(path: Path, resolution: int, image_range: tuple[float, float]) -> Array:
    """A picture as the model takes it, [3, R, R] float32. Raises DamagedFile where it is none."""
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedFile(path, f"is no picture that can be read ({error})", "replace it, or take it out of the folder") from error
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    if side != resolution:
        square = square.resize((resolution, resolution), Image.Resampling.BILINEAR)
    low, high = image_range
    return np.asarray(square, np.float32).transpose(2, 0, 1) * np.float32((high - low) / 255) + np.float32(low)


@torch.no_grad()
def encode_folder(
    folder: Path,
    model: Explained,
    classify: Callable[[Tensor], Tensor],
    resolution: int,
    *,
    batch: int = 32,
    progress: Progress | None = None,
) -> Encoded:
    """Every picture of the folder as a latent, with the classifier's logits of the picture itself; `batch` of them in memory at a time."""
    paths = pictures(folder)
    latents, logits = [], []
    for start in range(0, len(paths), batch):
        own = [read_picture(path, resolution, model.image_range) for path in paths[start : start + batch]]
        images = torch.from_numpy(np.stack(own)).to(model.device)
        latents.append(model.encode(images).float().cpu().numpy())
        logits.append(classify(images).float().cpu().numpy())
        if progress:
            progress("encoding", start + len(own), len(paths))
    names = tuple(path.relative_to(folder).as_posix() for path in paths)
    folders = tuple("" if path.parent == folder else path.parent.name for path in paths)
    return Encoded(names, np.concatenate(latents), np.concatenate(logits), folders)


def expected_labels(folders: Sequence[str], labels: Sequence[str]) -> Array:
    """The labels [N] that the pictures' folders name. Raises BadInput where a folder is no label."""
    if other := sorted({*folders} - {*labels}):
        found = ", ".join(name or "(none)" for name in other[:4])
        raise BadInput(f"misclassified pictures need one subfolder a label, {', '.join(labels)}; found {found}")
    return np.array([labels.index(name) for name in folders])
