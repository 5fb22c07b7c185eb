"""The embedded release's port, and a recording made of itself: what it is compared with is right by construction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stylexport.torch_models import StylEx
from stylexport.torch_models.kinds import ROLES
from tests.parity.recordings import record


@pytest.fixture(scope="session")
def stylex(converted: Path) -> StylEx:
    return StylEx.from_pretrained(converted)


@pytest.fixture(scope="session")
def recorded(stylex: StylEx, tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = torch.Generator().manual_seed(5)
    probabilities = torch.randn(8, 2, generator=draw).softmax(1)
    inputs = {
        "z": torch.randn(8, 32, generator=draw),
        "image": torch.randn(8, 3, 32, 32, generator=draw).tanh(),
        "probabilities": probabilities,
        "dlatent": torch.cat([torch.randn(8, 32, generator=draw), probabilities], 1),
    }
    return record(tmp_path_factory.mktemp("recorded") / "port.safetensors", {name: getattr(stylex, name) for name in ROLES}, inputs)
