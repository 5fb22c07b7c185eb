"""Latents from a file: dlatents.pkl of a release, or an array in .npy, .npz or .safetensors."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array
from stylexport.converter.formats.pickled.dlatents import looks_like_dlatents, read_dlatents
from stylexport.converter.output import safetensors_file

NAMES = ("dlatents", "latents")  # of the array, where a file holds several


@dataclass(frozen=True)
class Encoded:
    """N images as latents [N, D] float32, with the images' names.

    Where they came from pictures: `logits` [N, L] of the pictures themselves, and `folders`, the name of the folder that each lies in.
    """

    names: tuple[str, ...]
    latents: Array
    logits: Array | None = None
    folders: tuple[str, ...] = ()


def read_latents(path: Path, size: int) -> Encoded:
    """The latents [N, `size`] in a file.

    Raises BadInput where the file is missing, of another kind or size, or holds values that are not finite, and DamagedFile.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; --latents names dlatents.pkl, or an array in .npy, .npz or .safetensors")
    if looks_like_dlatents(path):
        found = read_dlatents(path)
        names, latents = found.indices, found.values
    else:
        latents = _array(path)
        names = tuple(str(i) for i in range(len(latents)))
    if latents.ndim != 2 or not len(latents) or latents.dtype.kind != "f":
        raise BadInput(f"{path}: holds {latents.dtype} {list(latents.shape)}; latents are floating-point numbers [N, {size}]")
    if latents.shape[1] != size:
        raise BadInput(f"{path}: latents of {latents.shape[1]} entries; this model's have {size}: w, then the label probabilities")
    if not np.isfinite(latents).all():
        raise BadInput(f"{path}: latent {int(np.flatnonzero(~np.isfinite(latents).all(1))[0])} is not finite; export them again")
    return Encoded(names, latents.astype(np.float32))


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes. Raises BadInput where it cannot be read."""
    total = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                total.update(block)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check the path") from error
    return total.hexdigest()


def _array(path: Path) -> Array:
    try:
        if path.suffix == ".safetensors":
            return _only(path, dict(safetensors_file.read(path)))
        found = np.load(path)  # numpy reads no pickle unless it is told to
        if isinstance(found, np.ndarray):
            return found
        with found:
            return _only(path, {name: found[name] for name in found.files})
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):  # what numpy says of any file that it does not know, too
            raise DamagedFile(path, "holds no latents (no array, or not whole)", "name dlatents.pkl, .npy, .npz or .safetensors") from error
        raise DamagedFile(
            path, f"holds no latents ({str(error).splitlines()[0]})", "name dlatents.pkl, .npy, .npz or .safetensors"
        ) from error


def _only(path: Path, arrays: dict[str, Array]) -> Array:
    """The array of that name, or the only one."""
    for name in NAMES:
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise BadInput(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; call the latents {NAMES[0]!r}")
