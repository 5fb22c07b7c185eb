"""The embedded release, its classifier, and digits that it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stylexport.checkpoints import EMBEDDED
from stylexport.torch_models.classifiers.open import Classifier, open_classifier
from stylexport.torch_models.stylex import StylEx

DIGITS = EMBEDDED / "digits.npz"


@pytest.fixture(scope="module")
def stylex(converted: Path) -> StylEx:
    return StylEx.from_pretrained(converted)


@pytest.fixture(scope="module")
def classify(stylex: StylEx) -> Classifier:
    return open_classifier(None, own=stylex.classifier, image_range=stylex.image_range)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Twelve digits [12, 3, 32, 32] in [-1, 1]."""
    with np.load(DIGITS) as file:
        digits = file["images"][:12]
    padded = np.pad(digits, ((0, 0), (2, 2), (2, 2))).astype(np.float32) / 127.5 - 1
    return torch.from_numpy(padded)[:, None].repeat(1, 3, 1, 1)
