"""Files of classifiers that are made once. Without the extra [tensorflow] the tests that need it are not collected."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.converter.mapping.agreement import Original

NEED_TENSORFLOW = [
    "test_classifiers.py",
    "test_other_networks.py",
    "test_saved_graphs.py",
    "test_small_classifiers.py",
    "test_stylegan.py",
]
collect_ignore = [] if find_spec("tensorflow") and find_spec("tf_keras") else NEED_TENSORFLOW


@pytest.fixture(scope="session")
def keras2(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """keras.applications.MobileNet by tf_keras."""
    from tests.converter.mapping import applications

    return applications.keras2(tmp_path_factory.mktemp("keras2"))


@pytest.fixture(scope="session")
def keras3(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """keras.applications.MobileNet by Keras 3."""
    from tests.converter.mapping import applications

    return applications.keras3(tmp_path_factory.mktemp("keras3"))


@pytest.fixture(scope="session")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Original:
    """MobileNetV1 under TF-Slim's names."""
    from tests.converter.mapping.slim import slim

    return slim(tmp_path_factory.mktemp("slim"))
