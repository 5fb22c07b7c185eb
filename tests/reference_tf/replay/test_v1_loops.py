"""A loop of TensorFlow 1, which the graph itself holds, is run as TensorFlow runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.formats.savedmodel.functions import functions
from stylexport.converter.graph.loops.v1_loops import as_while
from stylexport.reference_tf.replay.walk import walk

pytestmark = pytest.mark.tensorflow

v1 = tf.compat.v1
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture(autouse=True)
def _as_in_tensorflow_1() -> Iterator[None]:
    v1.disable_control_flow_v2()
    yield
    v1.enable_control_flow_v2()


def powers(x: Any) -> Any:
    """x, 2 x, 4 x, 8 x, until the largest is above 20, and how often."""
    return v1.while_loop(lambda n, y: tf.reduce_max(tf.abs(y)) < 20, lambda n, y: (n + 1, 2 * y), (0, x))[1]


def nested(x: Any) -> Any:
    """A loop in a loop: x times 3, times 2 within."""

    def outer(i: Any, y: Any) -> Any:
        inner = v1.while_loop(lambda j, z: j < i, lambda j, z: (j + 1, z * 2 + x), (0, y))[1]
        return i + 1, inner * 3

    return v1.while_loop(lambda i, y: i < 3, outer, (0, x))[1]


def steps(x: Any) -> Any:
    """The running sums of the columns, by arrays of tensors."""
    columns = tf.TensorArray(tf.float32, size=4).unstack(tf.transpose(x))
    sums = tf.TensorArray(tf.float32, size=4)

    def body(t: Any, total: Any, found: Any) -> Any:
        total = total + columns.read(t)
        return t + 1, total, found.write(t, total)

    return tf.transpose(v1.while_loop(lambda t, *_: t < 4, body, (0, tf.zeros_like(x[:, 0]), sums))[2].stack())


def branch(x: Any) -> Any:
    """A branch of TensorFlow 1 inside a loop."""

    def body(i: Any, y: Any) -> Any:
        return i + 1, v1.cond(tf.equal(i % 2, 0), lambda: y + x, lambda: y * 3)

    return v1.while_loop(lambda i, y: i < 4, body, (0, x))[1]


@pytest.mark.parametrize("loop", [powers, nested, steps, branch])
def test_it_gives_what_tensorflow_gives(loop: Callable[[Any], Any], tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        given = v1.placeholder(tf.float32, [None, 4], name="x")
        expected = session.run(tf.identity(loop(given), name="y"), {given: X})
        (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    assert {"Enter", "NextIteration"} <= {node.op for node in graph.as_graph_def().node}
    (function,) = functions(open_artefact(tmp_path / "graph.pb"))
    single, double = walk(function, [(X, X.astype(np.float64))], lambda key: np.empty(0))[function.outputs.index("y")]
    np.testing.assert_array_equal(single, expected)
    np.testing.assert_allclose(double, expected, rtol=1e-6)


def test_a_loop_of_another_form_stays_as_it_is(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        given = v1.placeholder(tf.float32, [None, 4], name="x")
        tf.identity(powers(given), name="y")
        definition = graph.as_graph_def()
        for node in definition.node:
            if node.op == "LoopCond":
                node.op = "Identity"
        (tmp_path / "graph.pb").write_bytes(definition.SerializeToString())
    graph = next(open_artefact(tmp_path / "graph.pb").graphs())
    assert as_while(graph) == (graph, {})
