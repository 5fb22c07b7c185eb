"""MobileNetV1 is read whatever its variables are called and whatever the file: PyTorch gives TensorFlow's outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylexport.converter.mapping.classifier.from_names import DEFAULTS
from tests.converter.mapping.agreement import ROUNDING, Original, port

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]

# file -> what tells its layers, and how many tensors beside the network's 137 are left out
KERAS2 = {
    "savedmodel": ("graph", 0),
    "frozen graph": ("graph", 0),
    "whole.h5": ("Keras's configuration", 0),
    "archive.keras": ("Keras's configuration", 0),
    "weights.h5": ("shapes; the rest: default", 0),
    "checkpoint": ("shapes; the rest: default", 0),
    "training checkpoint": ("shapes; the rest: default", 169),  # Adam's two for each of 83 trainable ones, three counters
    "pickled pairs": ("shapes; the rest: default", 0),
    "pickled tf.Variables": ("shapes; the rest: default", 0),
    "npz": ("shapes; the rest: default", 0),
    "npz sorted by name": ("shapes; the rest: default", 0),
}
KERAS3 = {
    "exported": ("graph", 138),  # Keras 3 saves every variable twice, and a seed
    "whole.h5": ("Keras's configuration", 0),
    "archive.keras": ("Keras's configuration", 0),
    "only.weights.h5": ("shapes; the rest: default", 0),
}
SLIM = {
    "savedmodel": ("graph", 250),  # RMSProp's two and the moving average of each of 83 trainable ones, and the step
    "frozen graph": ("graph", 0),
    "checkpoint": ("graph", 250),
    "checkpoint of version 1": ("graph", 250),
    "checkpoint without its graph": ("shapes; the rest: default", 250),
}


@pytest.mark.parametrize("file", KERAS2)
def test_keras_2_applications(file: str, keras2: Original, tmp_path: Path) -> None:
    check(keras2, file, *KERAS2[file], tmp_path)


@pytest.mark.parametrize("file", KERAS3)
def test_keras_3_applications(file: str, keras3: Original, tmp_path: Path) -> None:
    check(keras3, file, *KERAS3[file], tmp_path)


@pytest.mark.parametrize("file", SLIM)
def test_tf_slim_names_beside_slots_and_moving_averages(file: str, slim: Original, tmp_path: Path) -> None:
    check(slim, file, *SLIM[file], tmp_path)


def check(original: Original, file: str, told_by: str, left_out: int, out: Path) -> None:
    found = port(original.files[file], out / "out", original.images)
    assert found.error(original) < ROUNDING
    assert found.source("layers") == told_by
    by_names = told_by.startswith("shapes")
    assert found.config.output == ("linear" if by_names else original.output)
    assert (DEFAULTS in found.ledger.remarks) == by_names
    assert len(found.ledger.tensors) == 137
    assert len(found.ledger.left_out) == left_out
