"""The files of a run of AttFind: one an image while the run grows, RUN/effects.h5 when all are there (docs/attfind.md).

    RUN/run.json              what is being measured: model, classifier, preprocessing, shift, layers, label names
    RUN/latents.npz           latents, styles, base logits, minimum and maximum of every coordinate
    RUN/parts/000012.npy      effects of image 12, [2, S, L] float32
    RUN/effects.h5            everything, when the last part is there

Each file is whole or absent, so a run that is killed at any point goes on with the images that have no part yet, and several processes may
write parts of one run. The parts go when effects.h5 is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import NUMPY_ERRORS, Array

FORMAT = 1
H5, PARTS, ABOUT, LATENTS = "effects.h5", "parts", "run.json", "latents.npz"
# The arrays of effects.h5 (there, `latents` is called dlatents).
ARRAYS = ("effects", "base_logits", "latents", "styles", "style_min", "style_max", "done")


def write_description(folder: Path, about: Mapping[str, Any]) -> None:
    """RUN/run.json."""
    with whole_file(folder / ABOUT) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def write_latents(folder: Path, arrays: Mapping[str, Array]) -> None:
    """RUN/latents.npz."""
    with whole_file(folder / LATENTS) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options


def check_run(folder: Path) -> None:
    """Raises BadInput where a folder holds no run."""
    if not any((folder / name).is_file() for name in (H5, ABOUT)):
        raise BadInput(f"{folder}: is not a run of AttFind; `stylexport attfind effects MODEL -o {folder}` makes one")


def read_description(folder: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """What run.json and latents.npz hold. Raises DamagedFile."""
    place = folder / ABOUT
    try:
        about = _checked(json.loads(place.read_text(encoding="utf-8")))
        place = folder / LATENTS
        with np.load(place) as file:
            return about, _agreeing({name: np.asarray(file[name]) for name in ARRAYS[1:-1]})  # bytes, where a member is no array
    except NUMPY_ERRORS as error:
        whole = f"all is measured, and {H5} says what: name another folder to measure anew"
        remedy = whole if (folder / H5).is_file() else f"delete {folder} and measure again"
        raise DamagedFile(place, f"the run's description cannot be read ({error})", remedy) from error


def _checked(about: Any) -> dict[str, Any]:
    """A run's description. Raises ValueError, KeyError and TypeError where it is none."""
    layers, labels = about["layers"], about["labels"]
    if not all(isinstance(name, str) and isinstance(size, int) for name, size in layers):
        raise ValueError(f"its layers are {layers!r:.100}")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"its labels are {labels!r:.100}")
    found: dict[str, Any] = {**about}
    return found


def _agreeing(arrays: dict[str, Array]) -> dict[str, Array]:
    """A run's arrays. Raises ValueError where they are not numbers of images, coordinates and labels that agree."""
    if wrong := [name for name, array in arrays.items() if array.dtype.kind != ("b" if name == "done" else "f")]:
        raise ValueError(f"{wrong[0]} holds {arrays[wrong[0]].dtype}")
    images, size, labels = len(arrays["latents"]), arrays["style_min"].size, arrays["base_logits"].shape[-1]
    expected = {"base_logits": (images, labels), "styles": (images, size), "style_max": (size,), "style_min": (size,)}
    expected |= {"effects": (images, 2, arrays["effects"].shape[2], labels), "done": (images,)} if "effects" in arrays else {}
    if wrong := [name for name, shape in expected.items() if arrays[name].shape != shape]:
        raise ValueError(f"{wrong[0]} has the shape {arrays[wrong[0]].shape}, not {expected[wrong[0]]}")
    return arrays


def write_part(folder: Path, image: int, effects: Array) -> None:
    """One image's effects [2, S, L]."""
    with whole_file(_part(folder, image)) as partial, partial.open("wb") as file:
        np.save(file, effects.astype(np.float32))


def read_part(folder: Path, image: int, shape: tuple[int, ...]) -> Array:
    """One image's effects of this shape, (2, S, L). Raises DamagedFile where its part is broken."""
    path = _part(folder, image)
    try:
        effects = np.load(path)
        if not isinstance(effects, np.ndarray):
            raise ValueError("an archive, not an array")
        if effects.shape != shape or effects.dtype.kind != "f":
            raise ValueError(f"{effects.dtype} of shape {effects.shape}, not {shape}")
    except NUMPY_ERRORS as error:
        raise DamagedFile(
            path, f"is not an image's effects ({error})", "delete it and run again: only this image is measured again"
        ) from error
    return np.asarray(effects)


def missing_parts(folder: Path, images: int) -> list[int]:
    """The images, of so many, whose effects are not there yet."""
    if (folder / H5).is_file():
        return []
    there = {path.stem for path in (folder / PARTS).glob("*.npy")}
    return [i for i in range(images) if f"{i:06}" not in there]


def _part(folder: Path, image: int) -> Path:
    return folder / PARTS / f"{image:06}.npy"


def read_h5(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """The description and the arrays in effects.h5. Raises DamagedFile."""
    try:
        with h5py.File(path) as file:
            arrays = {name: np.asarray(file["dlatents" if name == "latents" else name]) for name in ARRAYS}
            return _checked(json.loads(file.attrs["about"])), _agreeing(arrays)
    except (OSError, KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
        raise DamagedFile(path, f"does not hold effects ({error})", "measure the effects again") from error


def write_h5(path: Path, about: Mapping[str, Any], arrays: Mapping[str, Array], effects: Iterable[Array], shape: Sequence[int]) -> None:
    """effects.h5, with one image's effects [2, S, L] in memory at a time; `shape` is that of all, `arrays` are the others.

    The file holds no times: the same run gives the same bytes.
    """
    with whole_file(path) as partial, h5py.File(partial, "w") as file:
        values = file.create_dataset("effects", tuple(shape), np.float32)
        for i, image in enumerate(effects):
            values[i] = image
        for name in ARRAYS[1:]:
            file["dlatents" if name == "latents" else name] = arrays[name]
        file.attrs["about"] = json.dumps(about)
        file.attrs["format"] = FORMAT
