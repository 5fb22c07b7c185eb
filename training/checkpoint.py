"""Checkpoints: RUN/checkpoints/0001000/, each a converted folder of the averages with what training needs to go on beside it.

    stylex.json, generator/, ...     the averages of generator and encoder, discriminator, classifier: a StylEx like any other
    weights.safetensors              the networks as they train, "generator.synthesis.b4.const" ...
    optimisers.safetensors           Adam's moments, "generator.synthesis.b4.const.exp_avg" ...
    training.json                    step, settings, and every other number that the next step depends on

A checkpoint appears whole or not at all. No pickle is written. The first is written before the first step: a copy of what the run began
with, because the folder that `--from` names may change or go away while it trains. So a run that is killed early goes on as any other.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stylexport.common.atomic import whole_folder
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.torch_models.pretrained import PretrainedNetwork, save_tensors
from stylexport.torch_models.stylex import StylEx
from stylexport.training.optimisers import parameter_names

CHECKPOINTS = "checkpoints"
WEIGHTS, OPTIMISERS, TRAINING = "weights.safetensors", "optimisers.safetensors", "training.json"
# What training.json must have for a run to be resumed.
FACTS = ("step", "path_mean", "watch", "scaler", "ramp")
REMEDY = "remove that folder, so that --resume takes the checkpoint before it"


def save(
    run: Path,
    step: int,
    stylex: StylEx,
    networks: Mapping[str, nn.Module],
    optimisers: Mapping[str, Any],
    facts: Mapping[str, Any],
    keep: int,
) -> Path:
    """Writes the checkpoint after `step` steps, and removes all but the last `keep`. `facts` (`FACTS`, but the step) go into its JSON."""
    target = run / CHECKPOINTS / f"{step:07d}"
    if target.exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(target) as stage:
        save_stylex(stylex, stage)
        save_tensors(_laid_out(networks), stage / WEIGHTS)
        save_tensors(
            {key: value for name, own in optimisers.items() for key, value in _moments(own, parameter_names(networks, name))},
            stage / OPTIMISERS,
        )
        text = json.dumps({"format": 1, "step": step, **facts}, indent=1, ensure_ascii=False) + "\n"
        (stage / TRAINING).write_text(text, encoding="utf-8", errors="backslashreplace")
    prune(run, keep)
    return target


def prune(run: Path, keep: int) -> None:
    """Removes all but the last `keep` checkpoints, and what a killed run left of one that it wrote or removed."""
    kept = {folder.name for folder in checkpoints(run)[-keep:]}
    for other in (run / CHECKPOINTS).iterdir():
        if other.name not in kept and (other.name.isdigit() or other.name.endswith(".partial")):
            shutil.rmtree(other)


def save_stylex(stylex: StylEx, folder: Path) -> None:
    """The StylEx as a converted folder; a classifier that is not one of this project's networks is left out, its users name it again."""
    own = stylex.classifier if isinstance(stylex.classifier, PretrainedNetwork) else None
    StylEx(
        stylex.generator,
        stylex.encoder,
        stylex.discriminator,
        own,
        labels=stylex.labels,
        image_range=stylex.image_range,
        metadata=stylex.metadata,
    ).save_pretrained(folder)


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, the oldest first."""
    found = [path.parent for path in (run / CHECKPOINTS).glob(f"*/{TRAINING}") if path.parent.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def restore(
    folder: Path, networks: Mapping[str, nn.Module], averages: Mapping[str, nn.Module], optimisers: Mapping[str, Any]
) -> dict[str, Any]:
    """Fills networks, averages and optimisers from a checkpoint, and returns training.json. Raises BadInput where it does not fit."""
    try:
        facts: dict[str, Any] = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
        weights, moments = load_file(folder / WEIGHTS), load_file(folder / OPTIMISERS)
        own = {name: load_file(folder / name / "model.safetensors") for name in averages}
    except (OSError, ValueError, SafetensorError) as error:
        raise DamagedFile(folder, f"is not a whole checkpoint ({error})", REMEDY) from error
    if not isinstance(facts, dict) or (lacking := [name for name in FACTS if name not in facts]):
        what = f"lacks {', '.join(lacking)}" if isinstance(facts, dict) else "holds no facts"
        raise DamagedFile(folder / TRAINING, what, REMEDY)
    try:
        if more := {key.split(".")[0] for key in weights} - {*networks}:
            raise KeyError(f"{', '.join(sorted(more))} too")
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict({key.removeprefix(prefix): t for key, t in weights.items() if key.startswith(prefix)})
        for name, average in averages.items():
            average.load_state_dict(own[name])
        for name, optimiser in optimisers.items():
            _restore_moments(optimiser, parameter_names(networks, name), moments)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BadInput(f"{folder}: holds other networks than the configuration ({reason}); resume with the run's own settings") from error
    return facts


def _laid_out(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": t.detach().cpu().contiguous() for name, network in networks.items() for key, t in network.state_dict().items()}


def _moments(optimiser: Any, parameters: list[str]) -> list[tuple[str, Tensor]]:
    state = optimiser.state_dict()["state"]
    return [
        (f"{parameters[i]}.{key}", torch.as_tensor(v).detach().cpu().contiguous()) for i, own in state.items() for key, v in own.items()
    ]


def _restore_moments(optimiser: Any, parameters: list[str], moments: Mapping[str, Tensor]) -> None:
    state = optimiser.state_dict()
    state["state"] = {
        i: {key: moments[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        for i, name in enumerate(parameters)
        if f"{name}.step" in moments  # a parameter that had no gradient yet has none
    }
    optimiser.load_state_dict(state)
