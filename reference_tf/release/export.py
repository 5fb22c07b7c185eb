"""From PyTorch back to TensorFlow: a converted folder becomes SavedModels with the released names, by the inverse of each rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stylexport.common.atomic import MARK, whole_folder
from stylexport.common.errors import BadInput, DamagedFile, MappingError
from stylexport.common.json_files import read_index, read_json
from stylexport.common.text import listing
from stylexport.converter.mapping.recognise import table
from stylexport.converter.mapping.rules import Rule, pattern
from stylexport.converter.output.safetensors_file import read
from stylexport.reference_tf.networks.build import build
from stylexport.reference_tf.networks.saved_model import save
from stylexport.reference_tf.networks.variables import assign, names
from stylexport.reference_tf.release.random_release import released_file
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import config_from_json, known_roles


def export_folder(
    folder: Path, out: Path, data_format: str = "NCHW", progress: Callable[[str, int, int | None], None] | None = None
) -> dict[str, Path]:
    """Writes `out`/NAME.savedmodel for each known network of a converted folder, and returns where each lies.

    `data_format`: "NCHW" as the original graph, or "NHWC" for one that a CPU can run. Tensors of half precision become float32.
    Raises BadInput, DamagedFile and MappingError for a folder that is not whole.
    """
    networks = _networks(folder)
    if not networks:
        raise BadInput(f"{folder}: holds none of {', '.join(known_roles())}, and other networks cannot be exported")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: exists and is not an empty folder; name a new one")
    with whole_folder(out) as stage:
        for number, (network, (place, config)) in enumerate(sorted(networks.items())):
            if progress:
                progress(network, number, len(networks))
            try:
                _export(place, config, stage / released_file(config), data_format)
            except tf.errors.OpError as error:
                reason = " ".join(str(error.message).split())[-200:]
                raise BadInput(f"{out}: cannot be written ({reason}); make room, or name a folder where you may write") from error
    return {network: out / released_file(config) for network, (_, config) in sorted(networks.items())}


def _networks(folder: Path) -> dict[str, tuple[Path, NetworkConfig]]:
    """Known network -> its folder and configuration; networks that only their user knows are left out."""
    networks = read_index(folder).get("networks", {})
    if not isinstance(networks, dict):
        raise DamagedFile(folder / MARK, "`networks` is not a table of folders", "convert the release again")
    for place in networks.values():
        if not isinstance(place, str) or not (folder / place).resolve().is_relative_to(folder.resolve()):
            raise DamagedFile(folder / MARK, f"{place!r} is not a folder inside {folder}", "convert the release again")
    known = set(known_roles())
    return {name: (folder / place, _config(folder / place / "config.json")) for name, place in networks.items() if name in known}


def _config(path: Path) -> NetworkConfig:
    try:
        return config_from_json(read_json(path))
    except (ValueError, TypeError) as error:
        raise DamagedFile(path, f"is not a configuration ({error})", "convert the release again") from error


def _export(folder: Path, config: NetworkConfig, target: Path, data_format: str) -> None:
    try:
        model = build(config, cpu=data_format == "NHWC")
    except (ValueError, TypeError, ArithmeticError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedFile(
            folder / "config.json", f"describes no network that can be built ({reason})", "convert the release again"
        ) from error
    assign(model, variables(config, read(folder / "model.safetensors"), names(model), folder))
    save(model, target)


def variables(
    config: NetworkConfig, tensors: Mapping[str, NDArray[Any]], targets: Mapping[str, Any], folder: Path
) -> dict[str, NDArray[Any]]:
    """Released variable name -> value, from PyTorch tensors. Raises MappingError where table, tensors and targets do not fit."""
    rules = table(config)
    if missing := [rule.torch for rule in rules if rule.torch not in tensors]:
        raise MappingError(f"{folder}: model.safetensors lacks {listing(missing)}; convert the release again")
    if extra := sorted(set(tensors) - {rule.torch for rule in rules}):
        raise MappingError(f"{folder}: model.safetensors holds {listing(extra)}, which config.json's network does not have")
    out: dict[str, NDArray[Any]] = {}
    for rule in rules:
        tensor = tensors[rule.torch]
        if tensor.shape != rule.shape:
            raise MappingError(f"{folder}: {rule.torch} has shape {list(tensor.shape)}, config.json asks for {list(rule.shape)}")
        name = _target(rule, targets)
        out[name] = rule.layout.inverse(np.asarray(tensor).astype(np.float32), tuple(targets[name].shape))
    return out


def _target(rule: Rule, targets: Mapping[str, Any]) -> str:
    found = [name for name in targets if pattern(rule.tf).fullmatch(name)]
    if len(found) != 1:
        raise MappingError(f"{rule.torch}: the TensorFlow network has {len(found)} variables for {rule.tf}")
    return found[0]
