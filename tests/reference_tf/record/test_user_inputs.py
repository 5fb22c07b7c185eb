"""What a graph of no known network is recorded on: its own ranges and types, what they do not show, and what a user gives by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.output.recording import Recording
from stylexport.reference_tf.record import record

pytestmark = pytest.mark.tensorflow
Make = Callable[..., Recording]


class Words(tf.Module):  # type: ignore[misc]
    """An image in bytes, words with a mask, and a clip that only some inputs reach."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(5)
        self.kernel = tf.Variable(rng.standard_normal((3, 3, 3, 4)), dtype=tf.float32, name="kernel")
        self.table = tf.Variable(rng.standard_normal((90, 4)), dtype=tf.float32, name="table")

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[
            tf.TensorSpec([None, 6, 6, 3], tf.uint8, "image"),
            tf.TensorSpec([None, 5], tf.int64, "words"),
            tf.TensorSpec([None, 5], tf.bool, "mask"),
        ]
    )
    def __call__(self, image: Any, words: Any, mask: Any) -> Any:
        seen = tf.reduce_mean(tf.nn.conv2d(tf.cast(image, tf.float32) / 255, self.kernel, 2, "SAME"), [1, 2])
        read = tf.where(mask[..., None], tf.gather(self.table, words), tf.zeros(4))
        return tf.minimum(seen + tf.reduce_sum(read, 1), 1000.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, model = tmp_path_factory.mktemp("words") / "model", Words()
    tf.saved_model.save(model, str(folder), signatures=model.__call__.get_concrete_function())
    return folder


@pytest.fixture
def recorded(saved: Path, tmp_path: Path) -> Make:
    return lambda **options: record(saved, tmp_path / "out", samples=2, **options)


def given(recording: Recording) -> dict[str, Array]:
    network = recording.networks["model"]
    return {name: recording.tensor(tensor) for name, tensor in network.inputs.items()}


def test_every_input_is_drawn_from_what_the_graph_takes_and_the_recording_says_so(recorded: Make) -> None:
    recording = recorded()
    network, values = Recording(recording.path).networks["model"], given(recording)
    assert network.dtypes == {"image": "uint8", "words": "int64", "mask": "bool"}
    assert {name: (x.low, x.high, x.whole) for name, x in network.ranges.items()} == {
        "image": (0, 255, True),
        "words": (0, 89, True),
        "mask": (0, 1, True),
    }
    assert values["image"].shape == (2, 3, 6, 6)
    assert values["image"].max() > 200
    assert {0, 89} <= set(values["words"].ravel().tolist())
    assert set(values["mask"].ravel().tolist()) == {0, 1}
    assert "input 'image' drawn in 0..255 (whole numbers): its data type is uint8" in network.remarks


def test_rows_without_an_index_and_a_bound_that_no_value_reaches_are_told(recorded: Make) -> None:
    unseen = [sentence for tap in recorded().networks["model"].taps for sentence in tap.unseen]
    assert sorted(sentence.split(":")[0] for sentence in unseen) == [
        "Gather (ResourceGather) takes 10 of 90 rows",
        "no value reaches 1000 at Minimum (Minimum)",
    ]


GOOD: Mapping[str, Array] = {"image": np.full((2, 3, 6, 6), 7), "words": np.full((2, 5), 3), "mask": np.eye(2, 5, dtype=bool)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"picture": GOOD["image"]},
            r"picture: no input of this name; the graph takes image \[N, 3, 6, 6\] uint8, words \[N, 5\] int64, mask",
        ),
        ({"mask": None}, "mask is missing; the graph takes image"),
        ({"image": np.zeros((2, 6, 6, 3))}, r"image is \[2, 6, 6, 3\], the network takes \[N, 3, 6, 6\]"),
        ({"image": np.full((2, 3, 6, 6), 256)}, "image holds 256 to 256; the graph takes uint8, 0 to 255"),
        ({"words": np.full((2, 5), 0.5)}, "words holds 0.5; the graph takes int64, whole numbers"),
        ({"words": np.full((2, 5), 90)}, r"words holds 90 to 90; it is 0..89 \(whole numbers\): Gather takes one of 90 rows"),
        ({"words": np.full((2, 5), 2**30)}, "words holds whole numbers past 2"),
        ({"words": np.full((2, 5), np.nan)}, "words holds NaN"),
        ({"words": np.full((2, 5), "a")}, "words holds str32; inputs are numbers"),
        ({"mask": np.full((2, 5), 2)}, "mask holds 2 to 2; the graph takes bool, 0 to 1"),
        ({"mask": np.ones((3, 5))}, "differ in their first axis"),
    ],
)
def test_what_is_no_input_of_the_graph_is_refused_by_name(recorded: Make, change: Mapping[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        recorded(inputs={name: value for name, value in {**GOOD, **change}.items() if value is not None})


def test_what_is_given_by_name_goes_in_as_it_is(recorded: Make) -> None:
    recording = recorded(inputs=GOOD)
    for name, value in GOOD.items():
        np.testing.assert_array_equal(given(recording)[name], value)
    assert recording.networks["model"].ranges == {}


def test_inputs_are_arrays_by_name(recorded: Make) -> None:
    with pytest.raises(BadInput, match="inputs is a ndarray; give arrays by the names"):
        recorded(inputs=GOOD["words"])
