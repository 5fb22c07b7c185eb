"""A converted StylEx from disk, ready to be explained, and the facts that a run keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from stylexport.attfind.model import StylExModel
from stylexport.common.errors import BadInput
from stylexport.torch_models.classifiers.open import digest
from stylexport.torch_models.stylex import StylEx


def open_model(folder: Path, device: str | torch.device = "cpu") -> StylExModel:
    """The StylEx of a converted folder. Raises BadInput where there is none, or one without a generator, or no such device."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; name one that `stylexport convert` wrote")
    model = StylExModel(StylEx.from_pretrained(folder).requires_grad_(False))
    try:
        model.stylex.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:  # no such device, or a PyTorch without it
        raise BadInput(f"--device {device}: {str(error).splitlines()[0]}") from error
    return StylExModel(model.stylex)


def model_facts(folder: Path, model: StylExModel) -> dict[str, Any]:
    """What run.json says of the model."""
    return {"model": {"name": folder.resolve().name, "sha256": digest(model.generator)}, "model_path": str(folder)}
