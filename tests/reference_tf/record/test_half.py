"""An original in 16 bits: recorded in its own precision and in float64, and judged by its own unit of rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.converter.output.recording import Recording
from stylexport.reference_tf.record import record

pytestmark = pytest.mark.tensorflow
UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


class Half(tf.Module):  # type: ignore[misc]
    """A convolution and a dense layer in 16 bits, between them a constant that 16 bits round; `mixed`: variables in float32."""

    def __init__(self, kind: tf.DType, mixed: bool) -> None:
        super().__init__()
        rng, kept = np.random.default_rng(5), tf.float32 if mixed else kind
        self.kernel = tf.Variable(tf.cast(rng.standard_normal((3, 3, 2, 4)), kept), name="conv")
        self.dense = tf.Variable(tf.cast(rng.standard_normal((4, 3)), kept), name="dense")
        self.kind = kind

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 2], tf.float32, "x")])  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        y = tf.nn.conv2d(tf.cast(x, self.kind), tf.cast(self.kernel, self.kind), 1, "VALID")
        y = tf.reduce_max(tf.nn.relu(y) * tf.constant(0.1, self.kind), [1, 2])
        return tf.cast(tf.linalg.matmul(y, tf.cast(self.dense, self.kind)), tf.float32)


@pytest.fixture(scope="module", params=["float16", "bfloat16", "mixed float16", "mixed bfloat16"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Recording]:
    folder = tmp_path_factory.mktemp("half")
    kind = request.param.split()[-1]
    model = Half(getattr(tf, kind), "mixed" in request.param)
    tf.saved_model.save(model, str(folder / "model"), signatures=model.__call__.get_concrete_function())
    record(folder / "model", folder / "recording", samples=3)
    return kind, Recording(folder / "recording")


def test_each_tensor_has_the_unit_of_its_arithmetic_and_its_rounding_is_of_that_size(recording: tuple[str, Recording]) -> None:
    kind, opened = recording
    taps = opened.networks["model"].taps
    assert {tap.unit for tap in taps} == {UNITS[kind]}
    assert all(UNITS[kind] / 50 < tap.floor < UNITS[kind] * 4 for tap in taps)
    assert not any(tap.kernel_fault for tap in taps)


def test_a_constant_that_16_bits_round_is_counted_behind_it(recording: tuple[str, Recording]) -> None:
    _, opened = recording
    counts = [tap.coarse_constants for tap in opened.networks["model"].taps]
    assert (counts[0], counts[-1]) == (0, 1)
