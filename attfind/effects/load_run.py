"""Loads a run with its model and classifier, to render its images again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylexport.attfind.effects.create_run import check_answer, styles_of
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models.classifiers.open import OWN, Classifier, digest, open_classifier, recorded
from stylexport.torch_models.stylex import StylEx

FROM_PYTHON = "python:"  # begins the recorded name of a classifier that was given as an object


@dataclass(frozen=True)
class Subject:
    """What was measured, and the networks that it was measured on. `classify` gives raw logits [N, L]."""

    effects: Effects
    model: Explained
    classify: Classify

    @property
    def shift(self) -> float:
        """How far a coordinate goes towards its minimum or maximum; 1 is all the way."""
        return float(self.effects.about.get("shift", 1.0))

    def label(self, index: int) -> str:
        """A label's name."""
        return self.effects.label(index)


def open_model(folder: Path, device: str | torch.device = "cpu") -> StylExModel:
    """The StylEx of a converted folder. Raises BadInput where there is none, or one without a generator, or no such device."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; name a converted one (MODEL, or --model DIR)")
    stylex = StylEx.from_pretrained(folder).requires_grad_(False)
    if stylex.generator is None:
        raise BadInput(f"{folder}: has no generator; convert it too")
    try:
        stylex.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # no such device, or a PyTorch without it
        raise BadInput(f"--device {device}: {str(error).splitlines()[0]}") from error
    return StylExModel(stylex)


def model_facts(model: StylExModel, folder: Path | None) -> dict[str, Any]:
    """What run.json says of the model."""
    if folder is None:
        return {"model": {"sha256": digest(model.generator)}}
    return {"model": {"name": folder.resolve().name, "sha256": digest(model.generator)}, "model_path": str(folder)}


def load_run(run: str | os.PathLike[str], model: str | os.PathLike[str] | Explained | None = None, device: str = "cpu") -> Subject:
    """The run's effects with the classifier that it names and its StylEx: `model`, by default the folder that it names.

    Raises BadInput where nothing is measured, where the model is not there, or where model or classifier are not those of the run.
    """
    return with_run_networks(Effects.load(run), os.fspath(run), model, device)


def with_run_networks(effects: Effects, name: str, model: str | os.PathLike[str] | Explained | None, device: str = "cpu") -> Subject:
    """The effects with the networks that their run names; `name` is the run's, for errors. Raises BadInput as `load_run` does."""
    if model is None or isinstance(model, (str, os.PathLike)):
        folder = model if model is not None else effects.about.get("model_path")
        if folder is None or not Path(folder).is_dir():
            what = "the run does not name its model" if folder is None else f"its model {os.fspath(folder)} is not a folder here"
            raise BadInput(f"{name}: {what}; give the converted folder by --model")
        model = open_model(Path(folder), device)
    named = effects.about.get("classifier") or {}
    return checked(Subject(effects, model, _run_classifier(named, name, model)), name)


def _run_classifier(named: Mapping[str, Any], name: str, model: Explained) -> Classifier:
    """The classifier that a run recorded. Raises BadInput."""
    if str(named.get("spec", "")).startswith(FROM_PYTHON):
        raise BadInput(f"{name}: its classifier was given from Python ({named['spec']}); open it by AttFind(model, classifier)")
    try:
        arguments = recorded(named) if named else {"spec": OWN}
    except ValueError as error:
        raise DamagedFile(name, f"does not say how its classifier was opened ({error})", "measure the effects again") from error
    own = model.stylex.classifier if isinstance(model, StylExModel) else None
    return open_classifier(own=own, image_range=model.image_range, device=model.device, **arguments)


def checked(subject: Subject, name: str) -> Subject:
    """The subject, its styles filled in where the run has none. Raises BadInput where the networks are not those that were measured."""
    effects, model = subject.effects, subject.model
    if not effects.done.any():
        raise BadInput(f"{name}: no image is measured yet; go on with `stylexport attfind effects`")
    own: dict[str, torch.nn.Module] = {"model": model.generator} if isinstance(model, StylExModel) else {}
    if isinstance(subject.classify, Classifier):
        own["classifier"] = subject.classify.module
    for what, network in own.items():
        if effects.digests.get(what) not in (None, digest(network)):
            raise BadInput(
                f"{name}: was measured with another {what}: its weights differ; put the run's own there, or name its folder by --model"
            )
    size = sum(layer.size for layer in model.layers)
    if size != effects.effects.shape[2]:
        raise BadInput(f"{name}: has {effects.effects.shape[2]:,} style coordinates, the model {size:,}; name the run's model by --model")
    if effects.latents.ndim != 2 or not effects.latents.shape[1]:
        raise BadInput(f"{name}: holds no latents, so its images cannot be made again")
    first = int(np.flatnonzero(effects.done)[0])
    with torch.no_grad():
        latent = torch.from_numpy(effects.latents[first : first + 1]).to(model.device)
        try:
            found = subject.classify(model.decode(latent))[0].float().cpu().numpy()
        except ValueError as error:  # what this project's networks raise for another shape
            raise BadInput(f"{name}: its latents do not fit the model ({error}); name the run's model by --model") from error
    check_answer(name, first, found, effects.base_logits)
    return subject if effects.styles.shape == (len(effects.latents), size) else replace(subject, effects=_with_styles(effects, model))


def _with_styles(effects: Effects, model: Explained, batch: int = 256) -> Effects:
    """The effects of a run that keeps no styles (the authors' files), the styles being computed from its latents."""
    styles = styles_of(model, effects.latents, batch)
    return replace(effects, styles=styles, style_min=styles.min(0), style_max=styles.max(0))
