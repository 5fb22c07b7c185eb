"""A converted StylEx and its classifier from disk: as a command names them, or as a run recorded them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from attfind.classifiers import Classifier, digest, open_classifier, recorded
from attfind.model import StylExModel
from converter.errors import BadInput
from torch_models.stylex import StylEx


def open_model(folder: Path, device: str | torch.device = "cpu") -> StylExModel:
    """The StylEx of a converted folder. Raises BadInput where there is none, or one without a generator, or no such device."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; name one that `stylexport convert` wrote")
    try:
        return StylExModel(StylEx.from_pretrained(folder).to(torch.device(device)).requires_grad_(False))
    except ValueError as error:
        raise BadInput(f"{folder}: {error}" if str(folder) not in str(error) else str(error)) from error
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"--device {device}: {str(error).splitlines()[0]}") from error


def model_facts(folder: Path, model: StylExModel) -> dict[str, Any]:
    """What run.json says of the model."""
    return {"model": {"name": folder.resolve().name, "sha256": digest(model.generator)}, "model_path": str(folder)}


def reopen(
    about: Mapping[str, Any], *, model: Path | None = None, weights: Path | None = None, device: str | torch.device = "cpu"
) -> tuple[StylExModel, Classifier]:
    """The model and the classifier of a run (`about` is its description), from where they were or from where they lie now.

    Raises BadInput where one is not there, or is not the one that the run was measured with.
    """
    path = model or Path(about.get("model_path") or "")
    if ("model_path" not in about and model is None) or not path.is_dir():
        raise BadInput(f"{path}: the run's model is not there; name its folder by --model")
    opened = open_model(path, device)
    if "classifier" not in about:
        return opened, open_classifier(None, own=opened.stylex.classifier, image_range=opened.image_range, device=device)
    if digest(opened.generator) != about["model"]["sha256"]:
        raise BadInput(f"{path}: is not the model that the run was measured with ({about['model']['name']}); name that one by --model")
    options = recorded(about["classifier"])
    if weights is not None:
        options["weights"] = weights
    classifier = open_classifier(**options, own=opened.stylex.classifier, image_range=opened.image_range, device=device)
    if digest(classifier.module) != about["classifier"]["sha256"]:
        raise BadInput(f"{classifier.spec}: is not the classifier that the run was measured with; its weights differ")
    return opened, classifier
