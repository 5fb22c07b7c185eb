"""What a run of AttFind measured, as arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.attfind.effects import run_files
from stylexport.common.types import Array


@dataclass(frozen=True)
class Effects:
    """What a run measured of N images, S coordinates and L labels; all float32.

    `effects` [N, 2, S, L]: the change of each raw logit when a coordinate goes to its minimum (direction 0) or maximum (1).
    `base_logits` [N, L] of the reconstructions, `latents` [N, D], `styles` [N, S], `style_min` and `style_max` [S]. `done` [N] marks the
    images whose effects are measured; those of the others are zero. `layers` are (name, size) in order; `labels` the label names; `about`
    is what run.json says (docs/attfind.md).

    Example:
        >>> zeros = np.zeros((3, 4), np.float32)  # three images, four coordinates
        >>> found = Effects(np.ones((3, 2, 4, 2)), zeros[:, :2], zeros, zeros, zeros[0], zeros[0], np.ones(3, bool), (("b4.conv1", 4),))
        >>> found.where(2), found.classes.tolist()
        (('b4.conv1', 2), [0, 0, 0])

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

    @classmethod
    def load(cls, run: str | os.PathLike[str]) -> Effects:
        """A run's effects, finished or as far as they are. Raises BadInput where there is no run, DamagedFile where it is broken.

        Example:
            >>> import tempfile
            >>> run = tempfile.mkdtemp()
            >>> zeros = np.zeros((3, 4), np.float32)
            >>> Effects(np.ones((3, 2, 4, 2)), zeros[:, :2], zeros, zeros, zeros[0], zeros[0], np.ones(3, bool)).save(run)
            >>> Effects.load(run).effects.shape
            (3, 2, 4, 2)

        """
        folder = Path(run)
        run_files.check_run(folder)
        if (folder / run_files.H5).is_file():
            about, arrays = run_files.read_h5(folder / run_files.H5)
        else:
            about, arrays = run_files.read_description(folder)
            images, labels = arrays["base_logits"].shape
            shape = (2, arrays["styles"].shape[1], labels)
            arrays["effects"], arrays["done"] = np.zeros((images, *shape), np.float32), np.ones(images, bool)
            arrays["done"][run_files.missing_parts(folder, images)] = False
            for image in np.flatnonzero(arrays["done"]).tolist():
                arrays["effects"][image] = run_files.read_part(folder, image, shape)
        layers = tuple((name, int(size)) for name, size in about["layers"])
        return cls(**arrays, layers=layers, labels=tuple(about["labels"]), about=about)

    def save(self, run: str | os.PathLike[str]) -> None:
        """Writes RUN/effects.h5, whole or absent. Raises BadInput where it cannot be written."""
        about = {**self.about, "layers": [list(layer) for layer in self.layers], "labels": list(self.labels)}
        arrays = {name: getattr(self, name) for name in run_files.ARRAYS}
        run_files.write_h5(Path(run) / run_files.H5, about, arrays, self.effects, self.effects.shape)

    @property
    def classes(self) -> Array:
        """The class of each reconstruction [N]."""
        return self.base_logits.argmax(1)

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of the model and of the classifier that were measured, by these names; without what the run does not say."""
        facts = {name: self.about.get(name) for name in ("model", "classifier")}
        return {name: str(found["sha256"]) for name, found in facts.items() if isinstance(found, Mapping) and "sha256" in found}

    @property
    def measured(self) -> Array:
        """Which effects [N, 2, S] were measured; the others are zero. All of the measured images', unless the search was screened."""
        by_class = {own: measured_of(self.about, own, self.effects.shape[2]) for own in set(self.classes.tolist())}
        return np.stack([by_class[own] for own in self.classes.tolist()]) & self.done[:, None, None]

    def label(self, index: int) -> str:
        """A label's name; its number where the run does not name it."""
        return self.labels[index] if index < len(self.labels) else str(index)

    def where(self, coordinate: int) -> tuple[str, int]:
        """The layer's name and the channel in it of a coordinate."""
        for name, size in self.layers:
            if coordinate < size:
                return name, coordinate
            coordinate -= size
        return "", coordinate


def measured_of(about: Mapping[str, Any], own: int, size: int) -> Array:
    """Which moves [2, S] of an image of class `own` a run measured: all of them, unless it was screened.

    A screened run lists its moves towards each class as direction * S + coordinate.
    """
    if "screening" not in about:
        return np.ones((2, size), bool)
    found = np.zeros((2, size), bool)
    for label, entries in about["screening"]["entries"].items():
        if int(label) != own:
            found[np.unravel_index(np.asarray(entries, int), found.shape)] = True
    return found
