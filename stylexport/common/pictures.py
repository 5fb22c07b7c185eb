"""Pictures from disk, read one way everywhere: EXIF orientation, the square in the middle, antialiased resize, a stated range."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array

SUFFIXES = (".png", ".jpg", ".jpeg")
# How a picture becomes numbers, in words that a run records.
PREPARED = "RGB, square from the middle, bilinear"
# Pillow's name of a picture with this many channels.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def find_pictures(folder: Path) -> list[Path]:
    """The PNG and JPEG files in a folder and below, sorted by path. Raises BadInput where there are none."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; --images names one of PNG or JPEG files")
    found = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not found:
        raise BadInput(f"{folder}: holds no PNG or JPEG file")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def folder_digest(folder: Path) -> str:
    """The SHA-256 of a folder's pictures, in hexadecimal: of their names and bytes."""
    total = hashlib.sha256()
    for path in find_pictures(folder):
        total.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def read_picture(path: Path, height: int, width: int, image_range: tuple[float, float] = (-1.0, 1.0), channels: int = 3) -> Array:
    """A picture as a network takes it: [channels, height, width] float32, its levels 0 ... 255 spread over `image_range`.

    It is turned as its EXIF says, cut to the largest rectangle of the wanted proportions in its middle, and resized by Pillow's
    bilinear filter, which is antialiased. Raises DamagedFile where the file is not a picture, BadInput for another count of channels
    than 1 (gray), 3 (RGB) or 4 (RGBA).

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (8, 4), (255, 0, 0)).save(path)
        >>> read_picture(path, 2, 2)[:, 0, 0]
        array([ 1., -1., -1.], dtype=float32)

    """
    from PIL import Image, ImageOps

    if channels not in _MODES:
        raise BadInput(f"{path}: a picture has 1, 3 or 4 channels, the network takes {channels}; give its input as a tensor")
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert(_MODES[channels])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DamagedFile(path, f"is not a picture that can be read ({error})", "replace it, or take it out of the folder") from error
    cut_width = min(picture.width, max(1, round(picture.height * width / height)))
    cut_height = min(picture.height, max(1, round(picture.width * height / width)))
    left, top = (picture.width - cut_width) // 2, (picture.height - cut_height) // 2
    cut = picture.crop((left, top, left + cut_width, top + cut_height))
    if cut.size != (width, height):
        cut = cut.resize((width, height), Image.Resampling.BILINEAR)
    low, high = image_range
    levels = np.asarray(cut, np.float32).reshape(height, width, channels).transpose(2, 0, 1)
    return levels * np.float32((high - low) / 255) + np.float32(low)
