"""A classifier's training on disk: OUT/checkpoint.safetensors after each epoch, and what it leaves when it is finished.

    metrics.json                     accuracy and calibration on held-out images, settings, curve, how to open the classifier
    stylex.json, classifier/         a MobileNetV1: a converted folder like any other
    model.safetensors                any other: its weights, for --classifier SPEC --weights FILE

Each file is whole or absent. The checkpoint goes when the rest is there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from stylexport.common.atomic import whole_file, whole_folder
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import read_json
from stylexport.common.locks import claimed
from stylexport.torch_models.classifiers.open import Classifier
from stylexport.torch_models.mobilenet import MobileNetV1
from stylexport.torch_models.pretrained import save_tensors
from stylexport.torch_models.stylex import StylEx
from stylexport.training.classifier.classifier_config import MOBILENET

CHECKPOINT, METRICS, WEIGHTS = "checkpoint.safetensors", "metrics.json", "model.safetensors"
MODULE, OPTIMISER = "module", "optimiser"
MAY_DIFFER_ON_RESUME = {"data.workers"}


@contextlib.contextmanager
def claim(out: Path, settings: Mapping[str, Any], resume: bool, main: bool = True) -> Iterator[dict[str, Any] | None]:
    """Keeps other programs off the folder while the block runs, in the `main` process of a team.

    Yields the metrics of a training that is finished, for `resume`; None where there is work. Raises BadInput for another's folder.
    """
    with claimed(out, "another program is training this classifier; wait for it, or end it") if main else contextlib.nullcontext():
        held = _facts(out)
        others = out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir())
        if not resume and others and main:
            raise BadInput(f"{out}: is there already; --resume goes on with what it holds, or name a new folder")
        if resume and held is None and others:
            raise BadInput(f"{out}: holds no training of a classifier to go on with; name its folder, or a new one")
        if held is not None and (other := _different(held["settings"], settings)):
            raise BadInput(f"{out}: was begun with other settings ({', '.join(other)}); give the same, or name a new folder")
        yield held if (out / METRICS).is_file() else None


def save(out: Path, module: nn.Module, optimiser: Optimizer, facts: Mapping[str, Any]) -> None:
    """The checkpoint of a finished epoch; `facts` are JSON-ready: settings, epoch, curve."""
    state = optimiser.state_dict()["state"]
    tensors = {f"{MODULE}.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"{OPTIMISER}.{i}.{key}": torch.as_tensor(value) for i, own in state.items() for key, value in own.items()}
    _save_file(out / CHECKPOINT, tensors, {"training": json.dumps(dict(facts))})


def restore(out: Path, module: nn.Module, optimiser: Optimizer) -> dict[str, Any] | None:
    """Fills module and optimiser from the checkpoint and returns its facts; None where there is none. Raises DamagedFile."""
    path = out / CHECKPOINT
    if not path.is_file():
        return None
    facts = _checkpoint_facts(path)
    weights: dict[str, Tensor] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 (no mapping)
            kind, name = key.split(".", 1)
            if kind == MODULE:
                weights[name] = file.get_tensor(key)
            else:
                number, _, field = name.partition(".")
                moments.setdefault(int(number), {})[field] = file.get_tensor(key)
    module.load_state_dict(weights)
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return facts


def finish(out: Path, classifier: Classifier, metrics: Mapping[str, Any]) -> None:
    """Writes the classifier, then its metrics, and removes the checkpoint."""
    if isinstance(classifier.module, MobileNetV1):
        with whole_folder(out, into=True) as stage:
            StylEx(classifier=classifier.module, labels=classifier.labels, metadata={"trained": {"by": MOBILENET}}).save_pretrained(stage)
    else:
        _save_file(out / WEIGHTS, classifier.module.state_dict(), {"format": "pt"})
    text = json.dumps(dict(metrics), indent=1, ensure_ascii=False) + "\n"
    with whole_file(out / METRICS) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    (out / CHECKPOINT).unlink(missing_ok=True)


def _facts(out: Path) -> dict[str, Any] | None:
    """The record of a finished training, or that of its checkpoint; None where there is neither."""
    if (path := out / METRICS).is_file():
        found = read_json(path, "remove the folder and train again")
        if not isinstance(found.get("settings"), dict):
            raise DamagedFile(path, "is not a record of a classifier's training", "remove the folder and train again")
        return found
    return _checkpoint_facts(out / CHECKPOINT) if (out / CHECKPOINT).is_file() else None


def _checkpoint_facts(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("training", "null"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise DamagedFile(path, f"is not a checkpoint ({error})", "remove it: the training then begins anew") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("settings"), dict):
        raise DamagedFile(path, "is not a checkpoint", "remove it: the training then begins anew")
    return facts


def _different(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of settings that are not the same."""
    old, new = _flat(before), _flat(now)
    return sorted(name for name in (old.keys() | new.keys()) - MAY_DIFFER_ON_RESUME if old.get(name) != new.get(name))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    data = {f"data.{name}": value for name, value in settings["data"].items()}
    return data | {name: value for name, value in settings.items() if name != "data"}


def _save_file(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    own = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    with whole_file(path) as partial:
        save_tensors(own, partial, metadata)
