"""Where a run's images come from: a file of latents, a folder of pictures, or an array. Each says what run.json records of it.

A folder's subfolders, where it has any, name the pictures' labels. A picture is read as everywhere (stylexport.common.pictures): RGB, the
square in its middle, resized to the model's resolution, in the model's range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.arguments import check_images
from stylexport.attfind.effects.latents import Encoded, check_latents, read_latents
from stylexport.attfind.effects.random_latents import RandomLatents, generator_of_z, latents_of_z
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput
from stylexport.common.pictures import PREPARED, find_pictures, folder_digest, read_picture
from stylexport.common.types import Array, Progress
from stylexport.torch_models.classifiers.open import digest
from stylexport.torch_models.stylegan2 import StyleGAN2Generator

BATCH = 32  # pictures that are encoded at once


@dataclass(frozen=True)
class Source:
    """What run.json says of where the images come from, and the function that encodes all of them."""

    facts: dict[str, Any]
    encode: Callable[[], Encoded]


def latents_source(latents: Path | Array | RandomLatents, model: Explained) -> Source:
    """Latents [N, D], in a file, in memory, or random. Raises BadInput where the file is missing or they are not this model's."""
    if isinstance(latents, RandomLatents):
        generator_of_z(model)
        random = latents
        return Source({**random.facts}, lambda: Encoded(tuple(map(str, range(random.count))), random.draw(model)))
    if isinstance(latents, Path):
        if not isinstance(model, StylExModel):
            raise BadInput(f"{latents}: only a StylEx says what its latents are; give them as an array [N, D]")
        size = model.generator.config.dlatent
        try:
            facts = {"latents": latents.name, "sha256": sha256(latents)}
        except OSError as error:
            raise BadInput(f"{latents}: {error.strerror}; check the path") from error
        of_z = partial(latents_of_z, model) if isinstance(model.generator, StyleGAN2Generator) else None
        return Source(facts, lambda: read_latents(latents, size, of_z))
    known = model.generator.config.dlatent if isinstance(model, StylExModel) else None
    values = check_latents("the latents", np.asarray(latents), known)
    return Source({"latents": "array", "sha256": _digest(values)}, lambda: Encoded(_numbers(values), values))


def pictures_source(images: Path | Array, model: Explained, classify: Classify, progress: Progress | None = None) -> Source:
    """Images in a folder of pictures, or [N, 3, R, R] in memory and in the model's range. Raises BadInput where they cannot be encoded."""
    facts: dict[str, Any] = {}
    if isinstance(model, StylExModel):
        if model.stylex.encoder is None:
            raise BadInput("the model has no encoder for pictures; convert it too, or give latents (--latents FILE, or --random N)")
        facts = {"encoder": digest(model.stylex.encoder)}
    if isinstance(images, Path):
        if not isinstance(model, StylExModel):
            raise BadInput(f"{images}: only a StylEx says how large its pictures are; give them as an array [N, 3, H, W]")
        side = model.generator.config.resolution
        facts = {"pictures": images.resolve().name, "sha256": folder_digest(images), **facts, "prepared": PREPARED}
        return Source(facts, lambda: encode_folder(images, model, classify, side, progress=progress))
    check_images(images, model.image_range)
    values = images.astype(np.float32)
    facts = {"pictures": "array", "sha256": _digest(values), **facts}
    parts = [values[start : start + BATCH] for start in range(0, len(values), BATCH)]
    return Source(facts, lambda: encode(parts, _numbers(values), model, classify, progress=progress))


def encode_folder(
    folder: Path, model: Explained, classify: Classify, resolution: int, *, batch: int = BATCH, progress: Progress | None = None
) -> Encoded:
    """Every picture of the folder as a latent, with the classifier's logits of the picture; `batch` of them in memory at a time."""
    paths = find_pictures(folder)

    def parts() -> Iterator[Array]:
        for start in range(0, len(paths), batch):
            yield np.stack([read_picture(path, resolution, resolution, model.image_range) for path in paths[start : start + batch]])

    names = [path.relative_to(folder).as_posix() for path in paths]
    folders = ["" if path.parent == folder else path.parent.name for path in paths]
    return encode(parts(), names, model, classify, folders=folders, progress=progress)


@torch.no_grad()
def encode(
    parts: Iterator[Array] | Sequence[Array],
    names: Sequence[str],
    model: Explained,
    classify: Classify,
    *,
    folders: Sequence[str] = (),
    progress: Progress | None = None,
) -> Encoded:
    """Images, in parts [n, 3, H, W], as latents, with the classifier's logits of the images themselves.

    Raises BadInput where the encoder does not take them.
    """
    latents: list[Array] = []
    logits: list[Array] = []
    for part in parts:
        images = torch.from_numpy(part).to(model.device)
        try:
            found: Tensor = model.encode(images)
        except ValueError as error:  # what this project's encoders raise for another shape
            raise BadInput(f"the model's encoder does not take these images ({error})") from error
        latents.append(found.float().cpu().numpy())
        logits.append(classify(images).float().cpu().numpy())
        if progress:
            progress("encoding", sum(map(len, latents)), len(names))
    return Encoded(tuple(names), np.concatenate(latents), np.concatenate(logits), tuple(folders))


def expected_labels(folders: Sequence[str], labels: Sequence[str]) -> Array:
    """The labels [N] that the pictures' folders name. Raises BadInput where a folder is not a label."""
    if other := sorted({*folders} - {*labels}):
        found = ", ".join(name or "(none)" for name in other[:4])
        raise BadInput(f"misclassified pictures need one subfolder a label, {', '.join(labels)}; found {found}")
    return np.array([labels.index(name) for name in folders])


def _digest(values: Array) -> str:
    return hashlib.sha256(f"{list(values.shape)}\n".encode() + np.ascontiguousarray(values).tobytes()).hexdigest()


def _numbers(values: Array) -> tuple[str, ...]:
    return tuple(str(i) for i in range(len(values)))
