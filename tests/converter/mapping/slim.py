"""MobileNetV1 under TF-Slim's names, as TensorFlow 1 saved it in the middle of training: slots and moving averages beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.converter.mapping.agreement import Original, images
from tests.converter.mapping.weights import randomise

SIZE = (64, 64, 3)
WIDTHS = [(8, 2), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
LABELS = 5
v1 = tf.compat.v1


def slim(folder: Path) -> Original:
    """Name-based checkpoints, a SavedModel of TensorFlow 1, and a frozen graph."""
    given = images(SIZE)
    (folder / "version1").mkdir()
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, *SIZE], name="input")
        logits = _network(x)
        step = v1.train.get_or_create_global_step()
        trainable = v1.trainable_variables()
        v1.train.RMSPropOptimizer(0.1, momentum=0.9).minimize(tf.reduce_sum(logits), global_step=step)
        averages = tf.train.ExponentialMovingAverage(0.9).apply(trainable)
        session.run(v1.global_variables_initializer())
        session.run(averages)
        _randomise(session)
        v1.train.Saver().save(session, str(folder / "checkpoint" / "model.ckpt"), global_step=7)
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, str(folder / "version1" / "model.ckpt"))
        v1.train.Saver().save(session, str(folder / "alone" / "model.ckpt"), global_step=7, write_meta_graph=False)
        v1.saved_model.simple_save(session, str(folder / "savedmodel"), {"images": x}, {"logits": logits})
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["logits"])
        (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
        expected = session.run(logits, {x: given})
    files = {
        "checkpoint": folder / "checkpoint",
        "checkpoint of version 1": folder / "version1",
        "checkpoint without its graph": folder / "alone",
        "savedmodel": folder / "savedmodel",
        "frozen graph": folder / "frozen.pb",
    }
    return Original(files, given, expected)


def _network(x: Any) -> Any:
    for number, (out, stride) in enumerate(WIDTHS):
        if number == 0:
            x = _unit(x, "MobilenetV1/Conv2d_0", "weights", (3, 3, x.shape[-1], out), stride)
            continue
        x = _unit(x, f"MobilenetV1/Conv2d_{number}_depthwise", "depthwise_weights", (3, 3, x.shape[-1], 1), stride)
        x = _unit(x, f"MobilenetV1/Conv2d_{number}_pointwise", "weights", (1, 1, x.shape[-1], out), 1)
    x = tf.nn.avg_pool2d(x, x.shape[1:3], 1, "VALID")
    head = "MobilenetV1/Logits/Conv2d_1c_1x1"
    x = tf.nn.conv2d(x, v1.get_variable(f"{head}/weights", (1, 1, x.shape[-1], LABELS)), 1, "SAME")
    x = tf.nn.bias_add(x, v1.get_variable(f"{head}/biases", (LABELS,)))
    return tf.squeeze(x, [1, 2], name="logits")


def _unit(x: Any, scope: str, name: str, shape: tuple[int, ...], stride: int) -> Any:
    kernel = v1.get_variable(f"{scope}/{name}", shape)
    convolve = tf.nn.depthwise_conv2d if name.startswith("depthwise") else tf.nn.conv2d
    x = convolve(x, kernel, [1, stride, stride, 1], "SAME")
    gamma, beta, mean, variance = (
        v1.get_variable(f"{scope}/BatchNorm/{part}", (x.shape[-1],), trainable=not part.startswith("moving"))
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    x, _, _ = v1.nn.fused_batch_norm(x, gamma, beta, mean, variance, epsilon=0.001, is_training=False)
    return tf.nn.relu6(x)


def _randomise(session: Any) -> None:
    """Values for the network's own variables, other ones than its moving averages and slots hold."""
    own = [v for v in v1.global_variables() if v.op.name.startswith("MobilenetV1") and "RMSProp" not in v.op.name]

    class Loaded:
        def __init__(self, variable: Any) -> None:
            self.variable, self.name, self.shape = variable, variable.op.name, tuple(variable.shape.as_list())

        def assign(self, value: Any) -> None:
            self.variable.load(value, session)

    randomise([Loaded(v) for v in own if "ExponentialMovingAverage" not in v.op.name])
