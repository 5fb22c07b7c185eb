"""A run of AttFind that grows in a folder, and goes on there after an interruption (run_files.py says which files it has)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.attfind.effects import run_files
from stylexport.common.errors import BadInput
from stylexport.common.types import Array

# Keys of run.json that may change on resume: paths, batch size, derived values.
MAY_DIFFER_ON_RESUME = ("model_path", "batch", "tool", "names", "indices", "screening")


class Run:
    """A run in a folder: `about` is its description, `arrays` what is known of every image before a coordinate is moved.

    Raises DamagedFile where the folder's description cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about, self.arrays = run_files.read_description(folder)

    @classmethod
    def create(cls, folder: Path, about: Mapping[str, Any], arrays: Mapping[str, Array]) -> Run:
        """A new run, or the one that the folder already holds.

        Raises BadInput where the folder holds something else, or a run of other settings: two runs are never mixed.
        """
        if (run := cls.resumed(folder, about)) is not None:
            return run
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder}: is a file; name a new folder for the run")
        expected = (run_files.PARTS, run_files.LATENTS)
        others = folder.exists() and any(entry.name not in expected and not entry.name.startswith(".") for entry in folder.iterdir())
        if others or any((folder / run_files.PARTS).glob("*.npy")):  # parts without their run.json are of nobody knows what
            raise BadInput(f"{folder}: is not empty and holds no run; name a new folder")
        try:
            (folder / run_files.PARTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{folder}: cannot be made ({error.strerror}); name another folder") from error
        run_files.write_latents(folder, arrays)
        run_files.write_description(folder, _described(about))
        return cls(folder)

    @classmethod
    def resumed(cls, folder: Path, about: Mapping[str, Any]) -> Run | None:
        """The run that the folder holds; None where it holds none.

        Raises BadInput where that run's settings are not `about`'s, those in `MAY_DIFFER_ON_RESUME` aside.
        """
        if not (folder / run_files.ABOUT).is_file():
            return None
        run, asked = cls(folder), _described(about)
        keys = {*asked, *run.about} - {*MAY_DIFFER_ON_RESUME}
        if differs := sorted(key for key in keys if asked.get(key) != run.about.get(key)):
            raise BadInput(f"{folder}: holds a run that differs in {', '.join(differs)}; name another folder, or delete this one")
        return run

    def clear_leftovers(self) -> None:
        """Removes what a killed program left half-written; for the one that has claimed the folder."""
        for place in (self.folder, self.folder / run_files.PARTS):
            for partial in place.glob(".*.partial"):
                if partial.is_dir():
                    shutil.rmtree(partial)
                else:  # of an earlier version
                    partial.unlink(missing_ok=True)

    @property
    def images(self) -> int:
        """How many images the run has."""
        return len(self.arrays["latents"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image's effects: (2, S, L)."""
        return 2, self.arrays["styles"].shape[1], self.arrays["base_logits"].shape[1]

    def missing(self) -> list[int]:
        """The images whose effects are not there yet."""
        return run_files.missing_parts(self.folder, self.images)

    def add(self, image: int, effects: Array) -> None:
        """Writes an image's effects [2, S, L]."""
        run_files.write_part(self.folder, image, effects)

    def note(self, **facts: Any) -> None:
        """Adds to the run's description what was found while measuring; such names are in `MAY_DIFFER_ON_RESUME`."""
        self.about |= facts
        run_files.write_description(self.folder, self.about)

    def finish(self) -> Path:
        """Writes effects.h5 of a run whose parts are all there, and removes them. Raises BadInput where some are missing."""
        if missing := self.missing():
            raise BadInput(f"{self.folder}: {len(missing)} images are not measured yet; run the same command again")
        path = self.folder / run_files.H5
        if not path.is_file():
            arrays = {**self.arrays, "done": np.ones(self.images, bool)}
            parts = (run_files.read_part(self.folder, image, self.shape) for image in range(self.images))
            run_files.write_h5(path, self.about, arrays, parts, (self.images, *self.shape))
        shutil.rmtree(self.folder / run_files.PARTS, ignore_errors=True)
        return path


def _described(about: Mapping[str, Any]) -> dict[str, Any]:
    """The description as JSON gives it back."""
    described: dict[str, Any] = {"format": run_files.FORMAT, **json.loads(json.dumps(about))}
    return described
