"""Of a TensorFlow 1 program's whole graph the network's own outputs are found: not losses, updates, or what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stylexport.converter.formats.checkpoint.network_ends import network_ends
from stylexport.converter.graph.graph import Graph, flatten

pytestmark = pytest.mark.tensorflow


def ends(build: Callable[[Any, Any], Any], only: str = "") -> tuple[str, ...]:
    """The ends of the graph of a program whose loss `build(tf, image)` gives; of the variables that begin with `only`."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default() as built:
        loss = build(tf, v1.placeholder(tf.float32, [None, 8, 8, 3], "image"))
        step = v1.train.get_or_create_global_step()
        v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        tf.train.ExponentialMovingAverage(0.9).apply([loss])
        v1.summary.scalar("loss", loss)
        own = {v.op.name: v.op.name for v in v1.trainable_variables() if v.op.name.startswith(only)}
        graph = flatten(built.as_graph_def(), "program")
        return network_ends(Graph(graph.nodes, {v.op.name: v.op.name for v in v1.global_variables()}), set(own))


def weight(tf: Any, name: str, *shape: int) -> Any:
    return tf.compat.v1.get_variable(name, shape, use_resource=False)


def encoded(tf: Any, image: Any) -> Any:
    return tf.nn.relu(tf.nn.conv2d(image, weight(tf, "e/w", 3, 3, 3, 4), 2, "SAME") + weight(tf, "e/b", 4))


def autoencoder(tf: Any, image: Any) -> Any:
    code = encoded(tf, image)
    back = tf.nn.conv2d_transpose(code, weight(tf, "d/w", 3, 3, 3, 4), [tf.shape(image)[0], 8, 8, 3], 2)
    return tf.reduce_mean(tf.square(tf.sigmoid(back + weight(tf, "d/b", 3), name="reconstruction") - image))


def classifier(tf: Any, image: Any) -> Any:
    labels = tf.compat.v1.placeholder(tf.int64, [None], "labels")
    logits = tf.matmul(tf.reduce_mean(encoded(tf, image), [1, 2]), weight(tf, "fc/w", 4, 3))
    tf.nn.softmax(logits, name="probabilities")
    tf.equal(tf.argmax(logits, 1), labels)
    regular = 1e-3 * tf.nn.l2_loss(weight(tf, "fc/w2", 2))
    return regular + tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def two_heads(tf: Any, image: Any) -> Any:
    pooled = tf.reduce_mean(encoded(tf, image), [1, 2])
    labels = tf.compat.v1.placeholder(tf.float32, [None, 3], "labels")
    heads = [tf.identity(tf.matmul(pooled, weight(tf, f"{name}/w", 4, 3)), name) for name in ("first", "second")]
    return tf.reduce_mean(sum(tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=head) for head in heads))


def adversaries(tf: Any, image: Any) -> Any:
    z = tf.compat.v1.placeholder(tf.float32, [None, 5], "z")
    fake = tf.tanh(tf.reshape(tf.matmul(z, weight(tf, "g/w", 5, 192)), [-1, 8, 8, 3]), name="fake")

    def judged(images: Any) -> Any:
        with tf.compat.v1.variable_scope("judge", reuse=tf.compat.v1.AUTO_REUSE):
            return tf.reduce_mean(encoded(tf, images), [1, 2, 3])

    return tf.reduce_mean(tf.nn.softplus(judged(fake)) + tf.nn.softplus(-judged(image)))


def test_an_autoencoder_ends_in_its_reconstruction() -> None:
    assert ends(autoencoder) == ("reconstruction",)


def test_a_classifier_ends_in_its_probabilities() -> None:
    assert ends(classifier) == ("probabilities",)


def test_two_heads_are_two_outputs() -> None:
    assert ends(two_heads) == ("first", "second")


def test_of_two_networks_that_train_each_other_one_is_found_by_its_variables() -> None:
    assert ends(adversaries, only="g/") == ("fake",)


def test_a_graph_without_placeholders_has_no_ends() -> None:
    import tensorflow as tf

    with tf.Graph().as_default() as built:
        tf.identity(weight(tf, "w", 3))
        graph = flatten(built.as_graph_def(), "program")
    assert network_ends(Graph(graph.nodes, {"w": "w"}), {"w"}) == ()
