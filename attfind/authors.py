"""The authors' effects, `examples_1.tfrecord`, as a run of this project, and the other way: their notebook opens what is written here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.run_files import H5
from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput
from stylexport.converter.formats.effects_file import Effects as Records
from stylexport.converter.formats.effects_file import read_effects, write_effects


def from_authors(path: str | os.PathLike[str], model: str | os.PathLike[str] | None = None, device: str = "cpu") -> Effects:
    """The effects in the authors' file; every image of it is measured.

    The file holds no styles. With `model`, a converted folder, they and their minimum and maximum are computed from the file's dlatents,
    layers and label names are the model's, and the first image's logits are compared with the file's. Without it `styles` is [N, 0] and
    the layers are unknown. Raises BadInput where it is not such a file, or not this model's.
    """
    path = Path(path)
    records = read_effects(path)
    count, labels = records.base_logits.shape
    nothing = np.zeros((count, 0), np.float32)
    found = Effects(
        effects=records.effects,
        base_logits=records.base_logits,
        latents=records.dlatents,
        styles=nothing,
        style_min=nothing[0],
        style_max=nothing[0],
        done=np.ones(count, bool),
        labels=tuple(str(i) for i in range(labels)),
        about={"shift": 1.0, "search": "exhaustive", "images": {"effects": path.name, "sha256": sha256(path)}},
    )
    return found if model is None else _with_model(found, Path(model), str(path), device)


def to_authors(effects: Effects, path: str | os.PathLike[str]) -> None:
    """Writes effects as the authors keep them.

    Raises BadInput where images are not measured yet or the search was screened: their notebook would read what is not measured as zero.
    """
    if lacking := int(np.count_nonzero(~effects.done)):
        raise BadInput(f"{lacking} of {len(effects.done)} images are not measured yet, and the authors' file cannot say so; finish the run")
    if effects.about.get("search", "exhaustive") != "exhaustive":
        raise BadInput("the run's search was screened, and the authors' file cannot say which effects are not measured; measure them all")
    write_effects(path, Records(effects.base_logits, effects.latents, effects.effects))


def write_run(folder: Path, effects: Effects) -> Path:
    """A finished run in a new folder: RUN/effects.h5 alone. Raises BadInput where the folder is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder}: is not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    effects.save(folder)
    return folder / H5


def _with_model(found: Effects, folder: Path, name: str, device: str) -> Effects:
    """The effects with what their model says of them."""
    from stylexport.attfind.effects.load_run import Subject, checked, model_facts, open_model
    from stylexport.torch_models.classifiers.open import open_classifier

    model = open_model(folder, device)
    classify = open_classifier(None, own=model.stylex.classifier, image_range=model.image_range, device=device)
    found = checked(Subject(found, model, classify), name).effects
    return replace(
        found,
        layers=tuple((layer.name, layer.size) for layer in model.layers),
        labels=model.stylex.labels or found.labels,
        about={**found.about, **model_facts(model, folder), "classifier": classify.to_json()},
    )
