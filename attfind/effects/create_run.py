"""From the settings of a command to a run that is ready to be measured: what it is of is written down before any image is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stylexport.attfind.effects.batch import best_batch
from stylexport.attfind.effects.encode_folder import PREPARED, encode_folder, expected_labels, folder_digest
from stylexport.attfind.effects.initial_state import begin, label_names, logits_of
from stylexport.attfind.effects.latents import Encoded, file_digest, read_latents
from stylexport.attfind.effects.open_model import model_facts
from stylexport.attfind.effects.run_store import Run
from stylexport.attfind.model import StylExModel
from stylexport.attfind.screening.screen import SHARE
from stylexport.attfind.select.interesting import interesting
from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.common.version import __version__
from stylexport.torch_models.classifiers.open import OWN, Classifier, digest


@dataclass(frozen=True)
class Settings:
    """What is to be measured: `model`'s folder, either `latents` (a file) or `images` (a folder), and which of them.

    `query` (attfind/select/interesting.py) and `limit` choose images; `labels` name the logits; `batch` None is to be found; `share` is a
    screened search's.
    """

    model: Path
    latents: Path | None = None
    images: Path | None = None
    query: str | None = None
    limit: int | None = None
    labels: tuple[str, ...] = ()
    shift: float = 1.0
    precision: str = "fp32"
    search: str = "exhaustive"
    batch: int | None = None
    share: float = SHARE


def prepare(out: Path, model: StylExModel, classifier: Classifier, settings: Settings, progress: Progress | None = None) -> Run:
    """The run in `out`, begun now, or before with the same settings: then it goes on at once. Raises BadInput."""
    side = model.generator.config.resolution
    with torch.no_grad():
        logits = classifier(torch.zeros(1, 3, side, side, device=model.device)).shape[1]
    own = model.stylex.labels if classifier.spec == OWN else classifier.labels
    labels = label_names(settings.labels or own, logits)
    about = {
        "tool": __version__,
        **model_facts(settings.model, model),
        "classifier": classifier.to_json(),
        "images": _source(model, settings),
        "precision": settings.precision,
        "search": settings.search,
        **({"share": settings.share} if settings.search == "screened" else {}),
    }
    layers = [[layer.name, layer.size] for layer in model.layers]
    if (run := Run.held(out, {**about, "shift": settings.shift, "labels": labels, "layers": layers})) is not None:
        return run
    found = _encoded(model, classifier, settings, progress)
    chosen = _chosen(model, classifier, settings, found, labels)
    batch = settings.batch or best_batch(model, classifier, torch.tensor(found.latents[0], device=model.device))
    about |= {"batch": batch, "indices": chosen, "names": [found.names[i] for i in chosen]}
    return begin(out, model, classifier, found.latents, chosen=chosen, labels=labels, shift=settings.shift, about=about)


def _source(model: StylExModel, settings: Settings) -> dict[str, Any]:
    """What run.json says of where the images come from."""
    chosen = {"interesting": settings.query, "limit": settings.limit}
    if settings.latents is not None:
        return {"latents": settings.latents.name, "sha256": file_digest(settings.latents), **chosen}
    if settings.images is None:
        raise BadInput("a run needs latents or images")
    if model.stylex.encoder is None:
        raise BadInput(f"{settings.model}: has no encoder for pictures; convert it too, or give latents (--latents FILE)")
    sources = {"sha256": folder_digest(settings.images), "encoder": digest(model.stylex.encoder), "prepared": PREPARED}
    return {"pictures": settings.images.resolve().name, **sources, **chosen}


def _encoded(model: StylExModel, classifier: Classifier, settings: Settings, progress: Progress | None) -> Encoded:
    """All images of the source as latents."""
    config = model.generator.config
    if settings.latents is not None:
        return read_latents(settings.latents, config.dlatent)
    assert settings.images is not None
    if model.stylex.classifier is None:  # a StylEx of the user's classifier, whose probabilities belong into the latents
        model.stylex.classifier = classifier
    try:
        return encode_folder(settings.images, model, classifier, config.resolution, progress=progress)
    except ValueError as error:
        raise BadInput(f"{settings.model}: its encoder does not take these images ({error})") from error


def _chosen(model: StylExModel, classifier: Classifier, settings: Settings, found: Encoded, labels: list[str]) -> list[int]:
    """The images to measure, in the source's order."""
    if settings.query is None:
        return list(range(len(found.latents)))[: settings.limit]
    expected = expected_labels(found.folders, labels) if settings.query == "misclassified" and found.logits is not None else None
    base = logits_of(model, classifier, found.latents, 32)
    answer = interesting(settings.query, base, logits=found.logits, expected=expected, most=settings.limit)
    return sorted(int(i) for i in answer)
