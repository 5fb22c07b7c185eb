"""A training program's graph is evaluated with its training and its dropouts off, whichever of TensorFlow's dropouts it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stylexport.converter.formats.checkpoint.switches import switched_off
from stylexport.converter.graph.graph import Graph, flatten

pytestmark = pytest.mark.tensorflow


def constants(build: Callable[[Any, Any], Any]) -> tuple[Graph, dict[str, Any]]:
    """The graph with what is off in it, and the placeholders and random numbers that became constants, with their values."""
    import tensorflow as tf

    with tf.Graph().as_default() as built:
        tf.identity(build(tf, tf.compat.v1.placeholder(tf.float32, [None, 4], "x")), "y")
    before = flatten(built.as_graph_def(), "program")
    after = switched_off(before)
    changed = {name: node for name, node in after.nodes.items() if before.nodes[name].op != node.op}
    return after, {name: node.attr["value"].tensor for name, node in changed.items()}


def test_keeping_is_one_and_dropping_none() -> None:
    def keeping(tf: Any, x: Any) -> Any:
        return tf.compat.v1.nn.dropout(x, keep_prob=tf.compat.v1.placeholder(tf.float32, name="p"))

    def dropping(tf: Any, x: Any) -> Any:
        return tf.nn.dropout(x, tf.compat.v1.placeholder_with_default(0.3, [], name="p"))

    def older(tf: Any, x: Any) -> Any:
        keep = tf.compat.v1.placeholder(tf.float32, [], name="p")
        return x / keep * tf.floor(keep + tf.random.uniform(tf.shape(x)))

    for build, value in ((keeping, 1.0), (dropping, 0.0), (older, 1.0)):
        after, off = constants(build)
        assert off["p"].float_val[0] == value
        assert not any(node.op == "RandomUniform" for node in after.nodes.values())


def test_whether_it_trains_is_false_and_other_numbers_stay_inputs() -> None:
    def build(tf: Any, x: Any) -> Any:
        trains = tf.compat.v1.placeholder(tf.bool, [], name="trains")
        temperature = tf.compat.v1.placeholder(tf.float32, [], name="temperature")
        noise = tf.random.uniform(tf.shape(x))
        return tf.compat.v1.cond(trains, lambda: x + noise, lambda: x / temperature)

    after, off = constants(build)
    assert off.keys() == {"trains"}
    assert list(off["trains"].bool_val) == [False]
    assert after.nodes["temperature"].op == "Placeholder"
