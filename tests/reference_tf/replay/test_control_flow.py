"""In float64 it is the same graph: constants as they are rounded, integers as they are, branches and loops as the values say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.converter.formats.registry import open_artefact
from tests.reference_tf.replay.saving import Method, distance, replayed, saved, values

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(13)
X = RNG.standard_normal((8, 3)).astype(np.float32)
KERNEL = RNG.standard_normal((3, 4)).astype(np.float32)
W = np.array([2.5, -1.0, 0.3], np.float32)
WIDE, WIDE_W = X.astype(np.float64), W.astype(np.float64)


def test_constants_keep_the_value_to_which_the_file_rounds_them(tmp_path: Path) -> None:
    _, exact = replayed(tmp_path, lambda x: x * 0.1, np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(exact, np.full((1, 3), np.float64(np.float32(0.1))))


def test_a_leaky_slope_keeps_the_value_to_which_the_file_rounds_it(tmp_path: Path) -> None:
    _, exact = replayed(tmp_path, lambda x: tf.nn.leaky_relu(x, 0.2), -np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(exact, np.full((1, 3), -np.float64(np.float32(0.2))))


def test_integers_stay_integers(tmp_path: Path) -> None:
    def counted(x: Any) -> Any:
        return tf.cast(tf.shape(x)[0] * 7, tf.float32) + tf.cast(tf.argmax(x, 1), tf.float32) / 3.0

    _, exact = replayed(tmp_path, counted, X)
    np.testing.assert_allclose(exact, 56 + X.argmax(1) / 3, rtol=1e-15)


def test_half_precision_stays_as_saved_and_becomes_float64_beside_it(tmp_path: Path) -> None:
    def halved(x: Any) -> Any:  # not a MatMul: in float16 oneDNN's crashes where ONEDNN_MAX_CPU_ISA names less than the processor has
        return tf.cast(tf.reduce_sum(tf.cast(x, tf.float16)[:, :, None] * tf.constant(KERNEL, tf.float16), 1), tf.float32)

    found, exact = replayed(tmp_path, halved, X)
    np.testing.assert_array_equal(found, halved(tf.constant(X)).numpy())
    np.testing.assert_allclose(exact, WIDE @ KERNEL.astype("f2").astype("f8"), rtol=1e-12, atol=1e-14)


def test_a_complex_spectrum_becomes_double(tmp_path: Path) -> None:
    x = RNG.standard_normal((3, 16)).astype(np.float32)
    _, exact = replayed(tmp_path, lambda x: tf.abs(tf.signal.rfft(x)), x)
    assert distance(exact, np.abs(np.fft.rfft(x.astype(np.float64)))) < 1e-14


@pytest.mark.parametrize("sign", [1, -1])
def test_a_branch_is_taken_as_the_values_say(sign: int, tmp_path: Path) -> None:
    x = np.full((2, 3), sign * 0.7, np.float32)

    def branching(x: Any, w: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x * w, lambda: tf.exp(x) + w)

    ((_, exact),) = values(saved(Method(branching, [[None, 3]], W), tmp_path), "run", x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(exact, wide * WIDE_W if sign > 0 else np.exp(wide) + WIDE_W, rtol=1e-15)


def test_a_loop_runs_as_often_as_it_says(tmp_path: Path) -> None:
    def looping(x: Any, w: Any) -> Any:
        return tf.while_loop(lambda i, y: i < 5, lambda i, y: (i + 1, tf.tanh(y) * w), (0, x), maximum_iterations=9)[1]

    ((found, exact),) = values(saved(Method(looping, [[None, 3]], W), tmp_path), "run", X)
    expected = WIDE
    for _ in range(5):
        expected = np.tanh(expected) * WIDE_W
    np.testing.assert_allclose(exact, expected, rtol=1e-14)
    assert 0 < distance(found, exact) < 1e-6


def test_rows_of_a_variable(tmp_path: Path) -> None:
    table = RNG.standard_normal((7, 4)).astype(np.float32)
    rows = np.array([[3.0, 0.0], [6.0, 3.0]], np.float32)

    def look_up(x: Any, table: Any) -> Any:
        return tf.raw_ops.ResourceGather(resource=table.handle, indices=tf.cast(x, tf.int32), dtype=tf.float32)

    ((_, exact),) = values(saved(Method(look_up, [[None, 2]], table), tmp_path), "run", rows)
    np.testing.assert_array_equal(exact, table[rows.astype(int)].astype(np.float64))


def test_tensorflow_1s_switch_takes_the_branch_that_its_default_says(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph, v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 3], name="input")
            training = v1.placeholder_with_default(False, [], name="training")
            w = v1.get_variable("w", initializer=W)
            y = v1.cond(training, lambda: x + v1.random_normal(tf.shape(x)), lambda: x * w)
            session.run(v1.global_variables_initializer())
            assert {"Switch", "Merge"} <= {node.op for node in graph.as_graph_def().node}
            v1.saved_model.simple_save(session, str(tmp_path / "model"), {"images": x}, {"y": y})
    finally:
        v1.enable_control_flow_v2()
    artefact = open_artefact(tmp_path / "model")
    ((found, exact),) = values(artefact, "signature:serving_default", X)
    np.testing.assert_array_equal(found, X * W)
    assert exact.dtype == np.float64
