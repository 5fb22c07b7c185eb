"""Where TensorFlow's own float32 kernel is wrong, the recording names the node and marks every tap that depends on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from stylexport.converter.output.recording import Recording
from stylexport.reference_tf.record import record
from tests.reference_tf.replay.saving import break_kernel

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions of volumes, and between them a pooling whose strides are larger than its window, which some processors get wrong."""
    tf_keras.utils.set_random_seed(6)
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [
            tf_keras.Input((5, 6, 7, 2)),
            layers.Conv3D(4, 2, padding="same", name="before"),
            layers.MaxPooling3D(1, 3, padding="same", name="pool"),
            layers.Conv3D(3, 2, padding="same", name="behind"),
            layers.Flatten(),
            layers.Dense(2, name="last"),
        ]
    )
    folder = tmp_path_factory.mktemp("volumes") / "model"
    tf.saved_model.save(model, str(folder))
    return folder


def marks(recording: Recording) -> dict[str, tuple[str, bool]]:
    return {tap.tf or tap.layer: (tap.kernel_fault, tap.kernel_fault_upstream) for tap in recording.networks["model"].taps}


def test_the_first_tap_behind_a_wrong_kernel_names_it_and_the_later_ones_say_that_they_depend_on_it(
    volumes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_kernel(monkeypatch, "MaxPool3D", lambda y: np.roll(y, 1, axis=3))
    recording = record(volumes, tmp_path / "out", samples=2)
    found = marks(recording)
    assert found["before"] == ("", False)
    sentence, upstream = found["behind"]
    assert sentence.startswith("MaxPool3D at pool/MaxPool3D: TensorFlow's float32 kernel is off by ")
    assert upstream
    assert found["last"] == ("", True)
    assert list(recording.networks["model"].remarks) == [sentence]
    assert Recording(tmp_path / "out").networks == recording.networks


def test_a_network_whose_kernels_are_right_has_no_marks_and_a_recording_that_does_not_mention_them(volumes: Path, tmp_path: Path) -> None:
    """Whether this processor's pooling is right, its definition says: with a window of one it takes every third value."""
    x = np.random.default_rng(3).standard_normal((2, 5, 6, 7, 4)).astype(np.float32)
    is_right = np.array_equal(tf.nn.max_pool3d(x, 1, 3, "SAME"), x[:, ::3, ::3, ::3])
    recording = record(volumes, tmp_path / "out", samples=2)
    assert any(upstream for _, upstream in marks(recording).values()) != is_right
    assert (b"kernel_fault" in recording.path.read_bytes()[:100_000]) != is_right
