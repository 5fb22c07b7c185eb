"""What a user gives to be recorded: tensors by name, a folder of pictures, or latents; else the seed of random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput
from stylexport.common.pictures import find_pictures
from stylexport.common.types import NUMPY_ERRORS, Array
from stylexport.converter.formats.pickled.dlatents import looks_like_dlatents, read_dlatents
from stylexport.converter.output.safetensors_file import read_with_metadata

LARGEST_WHOLE = 2**24  # float32, in which inputs are kept, has all whole numbers up to here


@dataclass(frozen=True)
class UserInputs:
    """A seed, and tensors by name or a folder's pictures.

    `kind` is "seed", "inputs", "images" or "latents"; `digests` are the SHA-256 of the files by name. `latents` [M, D] are w with the
    label probabilities behind it.
    """

    kind: str = "seed"
    seed: int = 0
    tensors: Mapping[str, Array] = field(default_factory=dict)
    pictures: Sequence[Path] = ()
    latents: Array | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int | None:
        """How many samples the files hold; None where numbers are drawn."""
        counts = [len(value) for value in self.tensors.values()]
        return counts[0] if counts else len(self.pictures) or (len(self.latents) if self.latents is not None else None)


def read_user_inputs(inputs: Path | Mapping[str, Array] | None, images: Path | None, latents: Path | Array | None, seed: int) -> UserInputs:
    """At most one of tensors, pictures and latents, each as a file or folder, tensors and latents as arrays too. Raises BadInput."""
    if seed < 0:
        raise BadInput(f"--seed {seed}: a seed is 0 or more")
    if sum(value is not None for value in (inputs, images, latents)) > 1:
        raise BadInput("--inputs, --images and --latents exclude each other; put all tensors into one file and name it by --inputs")
    if isinstance(inputs, Path):
        return UserInputs("inputs", seed, tensors=read_tensors(inputs), digests={inputs.name: sha256(inputs)})
    if inputs is not None:
        if not isinstance(inputs, Mapping):
            raise BadInput(f"inputs is a {type(inputs).__name__}; give arrays by the names of the network's inputs, or a file of them")
        return UserInputs("inputs", seed, tensors=_checked(inputs, "inputs"))
    if images is not None:
        pictures = find_pictures(images)
        return UserInputs("images", seed, pictures=pictures, digests={p.relative_to(images).as_posix(): sha256(p) for p in pictures})
    if isinstance(latents, Path):
        return UserInputs("latents", seed, latents=read_latents(latents), digests={latents.name: sha256(latents)})
    if latents is not None:
        return UserInputs("latents", seed, latents=_only_latents(_checked({"dlatent": np.asarray(latents)}, "latents"), "latents"))
    return UserInputs(seed=seed)


def read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of an npz or safetensors file in float32, all with one number of rows. Raises BadInput."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; --inputs names an npz or safetensors file") from error
    found = _read_npz(path) if zipped else dict(read_with_metadata(path, "--inputs names an npz or safetensors file")[1])
    return _checked(found, path)


def read_latents(path: Path) -> Array:
    """[M, D] float32 from a pickle as released, or from the only tensor of an npz or safetensors file. Raises BadInput."""
    if path.is_file() and looks_like_dlatents(path):
        return read_dlatents(path).values
    return _only_latents(read_tensors(path), path)


def _only_latents(found: Mapping[str, Array], source: object) -> Array:
    name = "dlatent" if "dlatent" in found else next(iter(found))
    if found[name].ndim != 2 or (name != "dlatent" and len(found) > 1):
        raise BadInput(f"{source}: holds no tensor `dlatent` [M, D]: w with the label probabilities behind it")
    return found[name]


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except NUMPY_ERRORS as error:
        raise BadInput(f"{path}: cannot be read as npz ({' '.join(str(error).split())[:120]}); write it by numpy.savez") from error


def _checked(found: Mapping[str, Array], source: object) -> dict[str, Array]:
    """The tensors in float32. Raises BadInput where they are not finite numbers with one number of rows."""
    if not found:
        raise BadInput(f"{source}: holds no tensors; name them as the network's inputs: z, dlatent, image, probabilities")
    found = {name: np.asarray(value) for name, value in found.items()}
    for name, value in found.items():
        if value.dtype.kind not in "fiub" and value.dtype.name != "bfloat16":
            raise BadInput(f"{source}: {name} holds {value.dtype.name}; inputs are numbers")
        if value.ndim == 0 or not value.size:
            raise BadInput(f"{source}: {name} has shape {list(value.shape)}; its first axis counts the samples")
        with np.errstate(over="ignore"):
            finite = np.isfinite(value.astype(np.float32)).all()
        if not finite:
            raise BadInput(f"{source}: {name} holds NaN, infinity, or numbers past float32; give finite ones")
        if value.dtype.kind in "iu" and (np.abs(value.astype(np.float64)) > LARGEST_WHOLE).any():
            raise BadInput(f"{source}: {name} holds whole numbers past 2^24, which a recording does not keep exactly; give smaller ones")
    if len({len(value) for value in found.values()}) > 1:
        sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in found.items())
        raise BadInput(f"{source}: {sizes} differ in their first axis, which counts the samples")
    return {name: value.astype(np.float32) for name, value in found.items()}
