"""A run of AttFind on disk: one file an image while it grows, RUN/effects.h5 when all are there.

    RUN/run.json              what is being measured: model, classifier, preprocessing, shift, layers, label names
    RUN/latents.npz           latents, styles, base logits, minimum and maximum of every coordinate
    RUN/parts/000012.npy      effects of image 12, [2, S, L] float32
    RUN/effects.h5            everything, when the last part is there (docs/attfind.md)

Each file is whole or absent (written beside, synced, renamed), so a run that is killed at any point goes on with the images that have
no part yet, and several processes may write parts of one run. The parts go when effects.h5 is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array

FORMAT = 1
H5, PARTS, ABOUT, LATENTS = "effects.h5", "parts", "run.json", "latents.npz"
REMEDY = "measure the effects again"
# What of a run's description may differ when it goes on: where things lie, how much is done at once, and what follows from the rest.
FREE = ("model_path", "batch", "tool", "names", "indices", "screening")


@dataclass(frozen=True)
class Effects:
    """What a run measured of N images, S coordinates and L labels; all float32.

    `effects` [N, 2, S, L]: the change of each raw logit when a coordinate goes to its minimum (direction 0) or maximum (1).
    `base_logits` [N, L] of the reconstructions, `latents` [N, D], `styles` [N, S], `style_min` and `style_max` [S]. `done` [N] marks the
    images whose effects are measured; those of the others are zero. `layers` are (name, size) in order; `labels` the label names.
    """

    effects: Array
    base_logits: Array
    latents: Array
    styles: Array
    style_min: Array
    style_max: Array
    done: Array
    layers: tuple[tuple[str, int], ...] = ()
    labels: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> Array:
        """The class of each reconstruction [N]."""
        return self.base_logits.argmax(1)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of the model and of the classifier that were measured, by these names; without what the run does not say."""
        facts = {name: self.about.get(name) for name in ("model", "classifier")}
        return {name: str(found["sha256"]) for name, found in facts.items() if isinstance(found, Mapping) and "sha256" in found}

    @classmethod
    def load(cls, run: str | os.PathLike[str]) -> Effects:
        """A run's effects, finished or as far as they are. Raises BadInput where there is no run, DamagedFile where it is broken."""
        folder = Path(run)
        if (folder / H5).is_file():
            return read_h5(folder / H5)
        if not (folder / ABOUT).is_file():
            raise BadInput(f"{folder}: is no run of AttFind; `stylexport attfind effects MODEL -o {folder}` makes one")
        return Run(folder).gathered()

    def where(self, coordinate: int) -> tuple[str, int]:
        """The layer's name and the channel in it of a coordinate."""
        for name, size in self.layers:
            if coordinate < size:
                return name, coordinate
            coordinate -= size
        return "", coordinate


ARRAYS = ("effects", "base_logits", "latents", "styles", "style_min", "style_max", "done")


def read_h5(path: Path) -> Effects:
    """The effects in a file that `write_h5` wrote. Raises DamagedFile."""
    try:
        with h5py.File(path) as file:
            arrays = {name: np.asarray(file["dlatents" if name == "latents" else name]) for name in ARRAYS}
            about = json.loads(file.attrs["about"])
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFile(path, f"holds no effects ({error})", REMEDY) from error
    return Effects(**arrays, layers=tuple((n, int(s)) for n, s in about["layers"]), labels=tuple(about["labels"]), about=about)


def write_h5(path: Path, found: Effects) -> None:
    """All of a run in one HDF5 file, whole or absent."""
    about = {**found.about, "layers": [list(layer) for layer in found.layers], "labels": list(found.labels)}
    _fill(path, {name: getattr(found, name) for name in ARRAYS if name != "effects"}, found.effects, found.effects.shape, about)


def _fill(path: Path, arrays: Mapping[str, Array], effects: Iterable[Array], shape: Sequence[int], about: Mapping[str, Any]) -> None:
    """The file of `write_h5`, with one image's effects [2, S, L] in memory at a time; `shape` is that of all.

    It holds no times: same run, same bytes.
    """

    def write(partial: Path) -> None:
        with h5py.File(partial, "w") as file:
            values = file.create_dataset("effects", tuple(shape), np.float32)
            for i, image in enumerate(effects):
                values[i] = image
            for name, array in arrays.items():
                file["dlatents" if name == "latents" else name] = array
            file.attrs["about"] = json.dumps(about)
            file.attrs["format"] = FORMAT

    whole(path, write)


def whole(path: Path, write: Any) -> None:
    """Lets `write` fill a file beside `path`, syncs it and puts it in place."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or error}); make room, or name another folder") from error
    finally:
        partial.unlink(missing_ok=True)


def _savez(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _save(path: Path, array: Array) -> None:
    with path.open("wb") as file:
        np.save(file, array)


class Run:
    """A run that grows in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            with np.load(folder / LATENTS) as file:
                self.arrays: dict[str, Array] = {name: file[name] for name in file.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DamagedFile(folder, f"its description cannot be read ({error})", "delete the folder and measure again") from error

    @classmethod
    def begin(cls, folder: Path, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> Run:
        """A new run, or the one that the folder already holds.

        Raises BadInput where the folder holds something else, or a run of other settings: it is not mixed with another.
        """
        about = {"format": FORMAT, **json.loads(json.dumps(about))}
        if (run := cls.held(folder, about)) is not None:
            return run
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder}: is a file; name a new folder for the run")
        if folder.exists() and any(entry.name not in (PARTS, LATENTS) and not entry.name.startswith(".") for entry in folder.iterdir()):
            raise BadInput(f"{folder}: is not empty and holds no run; name a new folder")
        try:
            (folder / PARTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder}: cannot be made ({error.strerror}); name another folder") from error
        whole(folder / LATENTS, lambda path: _savez(path, arrays))
        whole(folder / ABOUT, lambda path: path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8"))
        return cls(folder)

    @classmethod
    def held(cls, folder: Path, about: Mapping[str, Any]) -> Run | None:
        """The run that the folder holds; None where it holds none.

        Raises BadInput where that run's settings are not `about`'s, those in `FREE` aside.
        """
        if not (folder / ABOUT).is_file():
            return None
        run = cls(folder)
        asked = {"format": FORMAT, **json.loads(json.dumps(about))}
        keys = {*asked, *run.about} - {*FREE}
        if differs := sorted(key for key in keys if asked.get(key) != run.about.get(key)):
            raise BadInput(f"{folder}: holds a run with another {', '.join(differs)}; name another folder, or delete this one")
        return run

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps a second program off this run, and clears what a killed one left half-written. Raises BadInput where one is at it.

        The lock is the system's, on the folder, and ends with the process; where the system has none, nobody is kept off.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ImportError):
                import fcntl

                handle = os.open(self.folder, os.O_RDONLY)
                stack.callback(os.close, handle)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise BadInput(f"{self.folder}: another program is measuring this run; wait for it, or end it") from error
                except OSError:  # a network drive without locks
                    pass
            for place in (self.folder, self.folder / PARTS):
                for partial in place.glob(".*.[0-9]*"):
                    partial.unlink(missing_ok=True)
            yield

    @property
    def images(self) -> int:
        """How many images the run has."""
        return len(self.arrays["latents"])

    def missing(self) -> list[int]:
        """The images whose effects are not there yet."""
        if (self.folder / H5).is_file():
            return []
        there = {path.stem for path in (self.folder / PARTS).glob("*.npy")}
        return [i for i in range(self.images) if f"{i:06}" not in there]

    def add(self, image: int, effects: Array) -> None:
        """An image's effects [2, S, L]."""
        whole(self.folder / PARTS / f"{image:06}.npy", lambda path: _save(path, effects.astype(np.float32)))

    def note(self, **facts: Any) -> None:
        """Adds to the run's description what was found on the way; names that may be noted are in `FREE`."""
        self.about |= facts
        whole(self.folder / ABOUT, lambda path: path.write_text(json.dumps(self.about, indent=1) + "\n", encoding="utf-8"))

    def gathered(self) -> Effects:
        """All parts that are there. Raises DamagedFile, naming the part, where one cannot be read."""
        size, labels = self.arrays["styles"].shape[1], self.arrays["base_logits"].shape[1]
        effects = np.zeros((self.images, 2, size, labels), np.float32)
        done = np.ones(self.images, bool)
        done[self.missing()] = False
        for image in np.flatnonzero(done).tolist():
            effects[image] = self._part(image)
        layers = tuple((name, int(count)) for name, count in self.about["layers"])
        return Effects(effects, done=done, layers=layers, labels=tuple(self.about["labels"]), about=self.about, **self.arrays)

    def finish(self) -> Path:
        """Writes effects.h5 of a run whose parts are all there, and removes them. Raises BadInput where some are missing."""
        if missing := self.missing():
            raise BadInput(f"{self.folder}: {len(missing)} images are not measured yet; run the same command again")
        path = self.folder / H5
        if not path.is_file():
            arrays = {**self.arrays, "done": np.ones(self.images, bool)}
            shape = (self.images, 2, arrays["styles"].shape[1], arrays["base_logits"].shape[1])
            kept = {name: arrays[name] for name in ARRAYS if name != "effects"}
            _fill(path, kept, map(self._part, range(self.images)), shape, self.about)
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)
        return path

    def _part(self, image: int) -> Array:
        """One image's effects [2, S, L]. Raises DamagedFile where its part is broken."""
        path = self.folder / PARTS / f"{image:06}.npy"
        shape = (2, self.arrays["styles"].shape[1], self.arrays["base_logits"].shape[1])
        try:
            effects = np.load(path)
            if effects.shape != shape:
                raise ValueError(f"of shape {effects.shape}, not {shape}")
        except (OSError, ValueError, EOFError) as error:
            raise DamagedFile(path, f"is no image's effects ({error})", "delete it and run again: only it is measured anew") from error
        return np.asarray(effects)
