"""The embedded release is what its recording says."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.common.json_files import read_json
from stylexport.converter.output.recording import Recorder, Recording
from stylexport.converter.output.safetensors_file import read_with_metadata
from stylexport.reference_tf.networks import forward
from stylexport.reference_tf.release.build_demo import DIGITS, digit_logits, main, recording_of, released
from stylexport.reference_tf.release.digit_classifier import CLASSIFIER
from stylexport.reference_tf.release.digits import as_images
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import config_from_json

pytestmark = pytest.mark.tensorflow

DEMO = Path(__file__).parents[3] / "checkpoints" / "demo"
Variables = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def variables() -> Variables:
    return released(DEMO)


def config(converted: Path, network: str) -> NetworkConfig:
    return config_from_json(read_json(converted / network / "config.json"))


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    with np.load(DEMO / DIGITS) as stored:
        return dict(stored)


def test_tensorflow_tells_eights_from_nines_on_every_held_out_digit_but_one_in_a_hundred(
    variables: Variables, digits: dict[str, Any]
) -> None:
    assert digits["images"].shape == (1983, 28, 28)  # MNIST's test part: 974 eights and 1,009 nines
    assert np.bincount(digits["labels"]).tolist() == [974, 1009]
    logits = digit_logits(variables["classifier"], digits["images"])
    assert np.mean(logits.argmax(axis=1) == digits["labels"]) >= 0.99


def test_most_reconstructions_keep_their_class_and_most_change_it_with_the_label_probabilities(
    variables: Variables, converted: Path
) -> None:
    generator = forward.load(config(converted, "generator"), variables["generator"])
    classifier = forward.load(CLASSIFIER, variables["classifier"])
    latents = _dlatents()
    classes = latents[:, -2:].argmax(axis=1)
    turned = np.concatenate([latents[:, :-2], latents[:, :-3:-1]], axis=1)
    kept, changed = (
        forward.logits(classifier, np.clip(forward.image(generator, *forward.styles(generator, d)), -1, 1).transpose(0, 2, 3, 1))
        for d in (latents, turned)
    )
    assert np.mean(kept.argmax(axis=1) == classes) >= 0.9
    assert np.mean(changed.argmax(axis=1) != classes) >= 0.8


def test_the_latents_are_the_encoders_w_and_the_classifiers_probabilities_of_the_first_digits(
    variables: Variables, digits: dict[str, Any], converted: Path
) -> None:
    latents = _dlatents()
    first = as_images(digits["images"][: len(latents)])
    w = forward.encode(forward.load(config(converted, "encoder"), variables["encoder"]), first.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(latents[:, :-2], w, rtol=0, atol=1e-4)
    np.testing.assert_allclose(latents[:, -2:], forward.softmax(digits["logits"][: len(latents)]), rtol=1e-5)


def test_the_recording_is_what_tensorflow_gives_but_for_tensors_that_were_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "demo"))
    shutil.copy(recording_of(DEMO), recording_of(folder))
    network = Recording(recording_of(folder)).networks["encoder"]
    tap = next(tap for tap in network.taps if tap.layer == "b16.conv1")
    _times(recording_of(folder), {f"{tap.tensor}.hi": 1 + 2**-20, network.outputs["w"]: 1.0001})
    assert main([str(folder), "--record-only", "--check"]) == 1
    layer, output = capsys.readouterr().out.splitlines()
    assert layer.startswith(f"encoder b16.conv1 ({tap.stage}): differs by 9.5e-07 of its norm")
    assert output.startswith("encoder w in float32: differs by 0.0001 of its norm")


def test_the_first_sample_which_large_tensors_keep_alone_has_colours() -> None:
    recording = Recording(recording_of(DEMO))
    network = recording.networks["classifier"]
    assert min(tap.rows for tap in network.taps) == 1
    red, green, blue = recording.tensor(network.inputs["image"])[0]
    assert np.abs(red - blue).mean() > 0.1
    assert np.abs(red - green).mean() > 0.1


def test_the_release_stays_under_two_megabytes_and_its_recording_under_three() -> None:
    assert sum(path.stat().st_size for path in DEMO.rglob("*")) < 2e6
    assert recording_of(DEMO).stat().st_size < 3e6


def _times(path: Path, factors: dict[str, float]) -> None:
    """Multiplies tensors of a recording, which stays a whole one."""
    recording, (_, tensors) = Recording(path), read_with_metadata(path, "")
    with Recorder(path) as recorder:
        for name, value in tensors.items():
            recorder.add(name, (value * factors[name]).astype(value.dtype) if name in factors else value)
        recorder.finish(recording.networks, **recording.about)


def _dlatents() -> Any:
    return np.concatenate([row for _, row in pickle.loads((DEMO / "dlatents.pkl").read_bytes())])
