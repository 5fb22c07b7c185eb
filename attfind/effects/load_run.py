"""A finished run with its model and classifier loaded again, so that its images can be made anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.effects.open_model import open_model
from stylexport.attfind.effects.run_store import Effects
from stylexport.attfind.model import Explained
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models.classifiers.open import OWN, digest, open_classifier, recorded

# A run in half precision on a GPU may differ from float32 on a CPU by so much of the spread of its logits; another model by more.
DRIFT = 0.05


@dataclass(frozen=True)
class Subject:
    """What was measured, and the networks that it was measured on. `classify` gives raw logits [N, L]."""

    effects: Effects
    model: Explained
    classify: Callable[[Tensor], Tensor]

    @property
    def shift(self) -> float:
        """How far a coordinate goes towards its minimum or maximum; 1 is all the way."""
        return float(self.effects.about.get("shift", 1.0))

    def label(self, index: int) -> str:
        """A label's name."""
        return self.effects.labels[index] if index < len(self.effects.labels) else f"label {index}"


def reopen(run: str | os.PathLike[str], model: str | os.PathLike[str] | None = None, device: str = "cpu") -> Subject:
    """The run's effects with its StylEx, from the folder `model` or the one that the run names.

    Raises BadInput where nothing is measured, where the model is not there, or where model or classifier are not those of the run.
    """
    run, effects = Path(run), Effects.load(run)
    if not effects.done.any():
        raise BadInput(f"{run}: no image is measured yet; go on with `stylexport attfind effects`")
    about = effects.about
    folder = model if model is not None else about.get("model_path")
    if folder is None or not Path(folder).is_dir():
        what = "the run does not name its model" if folder is None else f"its model {os.fspath(folder)} is no folder here"
        raise BadInput(f"{run}: {what}; give the converted folder by --model")
    opened = open_model(Path(folder), device)
    own, limits = opened.stylex.classifier, opened.image_range
    named = about.get("classifier") or {}
    try:
        arguments = recorded(named) if named else {"spec": OWN}
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedFile(run, f"does not say how its classifier was opened ({error})", "measure the effects again") from error
    classify = open_classifier(own=own, image_range=limits, device=device, **arguments)
    pairs = (("model", about.get("model") or {}, opened.generator), ("classifier", named, classify.module))
    for what, facts, network in pairs:
        if facts.get("sha256") not in (None, digest(network)):
            raise BadInput(
                f"{run}: was measured with another {what}: its weights differ; put the run's own there, or name its folder by --model"
            )
    return checked(Subject(effects, opened, classify), str(run))


def checked(subject: Subject, name: str) -> Subject:
    """The subject, its styles filled in where the run has none. Raises BadInput where the networks are not those that were measured."""
    effects, model = subject.effects, subject.model
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
        except ValueError as error:
            raise BadInput(f"{name}: its latents do not fit the model ({error}); name the run's model by --model") from error
    base = effects.base_logits[first]
    allowed = DRIFT * max(float(np.ptp(effects.base_logits)), 1.0)
    if found.shape != base.shape or not np.abs(found - base).max() <= allowed:
        raise BadInput(
            f"{name}: image {first} had the logits {_numbers(base)} and now has {_numbers(found)}; "
            "this is not the run's model or classifier; name its model by --model"
        )
    return subject if effects.styles.shape == (len(effects.latents), size) else replace(subject, effects=_with_styles(effects, model))


def _with_styles(effects: Effects, model: Explained, batch: int = 256) -> Effects:
    """The effects of a run that keeps no styles (the authors' files), the styles being computed from its latents."""
    with torch.no_grad():
        parts = torch.from_numpy(effects.latents).split(batch)
        styles = torch.cat([model.styles(part.to(model.device)).float().cpu() for part in parts]).numpy()
    return replace(effects, styles=styles, style_min=styles.min(0), style_max=styles.max(0))


def _numbers(values: np.ndarray) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values[:4])}{', ...' if len(values) > 4 else ''}]"
