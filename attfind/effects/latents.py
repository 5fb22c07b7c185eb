"""Latents from a file: dlatents.pkl of a release, or an array in .npy, .npz or .safetensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import NUMPY_ERRORS, Array
from stylexport.converter.formats.pickled.dlatents import looks_like_dlatents, read_dlatents

NAMES = ("dlatents", "latents", "w")  # of the array, where a file holds several
Z, CLASSES = "z", "classes"  # what a generator's mapping takes


OfZ = Callable[[Array, Array | None], Array]


@dataclass(frozen=True)
class Encoded:
    """N images as latents [N, D] float32, with the images' names.

    Where they came from pictures: `logits` [N, L] of the pictures themselves, and `folders`, the name of the folder that each lies in.
    """

    names: tuple[str, ...]
    latents: Array
    logits: Array | None = None
    folders: tuple[str, ...] = ()


def read_latents(path: Path, size: int, of_z: OfZ | None = None) -> Encoded:
    """The latents [N, `size`] in a file; `of_z` makes them of z [N, z] (and classes), where the file holds these.

    Raises BadInput where the file is missing, of another kind or size, or holds values that are not finite, and DamagedFile.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file; --latents names dlatents.pkl, or an array in .npy, .npz or .safetensors")
    if looks_like_dlatents(path):
        found = read_dlatents(path)
        names, latents = found.indices, found.values
    else:
        latents = _array(path, of_z)
        names = tuple(str(i) for i in range(len(latents)))
    return Encoded(names, check_latents(str(path), latents, size))


def check_latents(name: str, latents: Array, size: int | None = None) -> Array:
    """The latents in float32. Raises BadInput, naming their source, where they are not finite numbers [N, `size`]."""
    if latents.ndim != 2 or not len(latents) or latents.dtype.kind != "f":
        found = f"{latents.dtype} {list(latents.shape)}"
        raise BadInput(f"{name}: holds {found}; latents are floating-point numbers [N, {'D' if size is None else size}]")
    if size is not None and latents.shape[1] != size:
        raise BadInput(
            f"{name}: latents of {latents.shape[1]} entries; this model's have {size}: w, then the label probabilities of a StylEx"
        )
    if not np.isfinite(latents).all():
        raise BadInput(f"{name}: latent {int(np.flatnonzero(~np.isfinite(latents).all(1))[0])} is not finite; export them again")
    return latents.astype(np.float32)


def _array(path: Path, of_z: OfZ | None) -> Array:
    try:
        if path.suffix == ".safetensors":
            return _only(path, {name: _numpy(tensor) for name, tensor in load_file(path).items()}, of_z)
        found = np.load(path)  # numpy reads no pickle unless it is asked to
        if isinstance(found, np.ndarray):
            return found
        with found:
            return _only(path, {name: np.asarray(found[name]) for name in found.files}, of_z)
    except (*NUMPY_ERRORS, SafetensorError) as error:
        # numpy says allow_pickle of any file that it does not know.
        why = "not an array, or not whole" if "allow_pickle" in str(error) else str(error).splitlines()[0]
        raise DamagedFile(path, f"holds no latents ({why})", "name dlatents.pkl, .npy, .npz or .safetensors") from error


def _one_for_all_layers(path: Path, latents: Array) -> Array:
    """Latents [N, layers, D] as [N, D], where each has one w for all its layers. Raises BadInput where layers have their own."""
    if latents.ndim != 3 or not latents.size:
        return latents
    if not (latents == latents[:, :1]).all():
        raise BadInput(f"{path}: holds another w for each layer (W+) in {list(latents.shape)}; a latent here is one w, [N, D]")
    return np.ascontiguousarray(latents[:, 0])


def _numpy(tensor: Tensor) -> Array:
    """As numpy has it; bfloat16, which numpy has not, as float32."""
    array: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array


def _only(path: Path, arrays: dict[str, Array], of_z: OfZ | None) -> Array:
    """The array of that name, or the only one. z is made into latents."""
    for name in NAMES:
        if name in arrays:
            return _one_for_all_layers(path, arrays[name])
    if Z in arrays and of_z is not None and set(arrays) <= {Z, CLASSES}:
        z = check_latents(f"{path}: z", arrays[Z])
        return of_z(z, check_latents(f"{path}: {CLASSES}", arrays[CLASSES].astype(np.float32)) if CLASSES in arrays else None)
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise BadInput(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; call the latents {NAMES[0]!r}")
