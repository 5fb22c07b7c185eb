"""MobileNetV1 as keras.applications builds it, in every file that Keras and TensorFlow write of it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from tests.converter.mapping.agreement import Original, images
from tests.converter.mapping.freezing import freeze
from tests.converter.mapping.weights import randomise

SIZE = (32, 32, 3)
OPTIONS = {"input_shape": SIZE, "alpha": 0.25, "weights": None, "classes": 3}


def keras2(folder: Path) -> Original:
    """tf_keras's own files of it, and those that TensorFlow and numpy write of its variables."""
    model = tf_keras.applications.MobileNet(**OPTIONS)
    randomise(model.weights)
    given = images(SIZE)
    logits = tf_keras.Model(model.inputs, model.get_layer("reshape_2").output)(given).numpy()
    return Original(dict(_keras2_files(model, folder)), given, logits, "softmax")


def _keras2_files(model: Any, folder: Path) -> Iterator[tuple[str, Path]]:
    for name in ("whole.h5", "archive.keras"):
        model.save(folder / name)
        yield name, folder / name
    model.save_weights(folder / "weights.h5")
    yield "weights.h5", folder / "weights.h5"
    model.save(folder / "savedmodel", save_format="tf")
    yield "savedmodel", folder / "savedmodel"
    model.save_weights(folder / "checkpoint" / "weights")
    yield "checkpoint", folder / "checkpoint"
    optimizer = tf_keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    tf.train.Checkpoint(model=model, optimizer=optimizer).save(folder / "training" / "ckpt")
    yield "training checkpoint", folder / "training"
    yield "frozen graph", freeze(model, SIZE, folder / "frozen.pb")
    pairs = [(v.name, v.numpy()) for v in model.weights]
    (folder / "pairs.pkl").write_bytes(pickle.dumps(pairs))
    yield "pickled pairs", folder / "pairs.pkl"
    variables = [tf.Variable(value, name=name.removesuffix(":0")) for name, value in pairs]
    (folder / "variables.pkl").write_bytes(pickle.dumps(variables))
    yield "pickled tf.Variables", folder / "variables.pkl"
    np.savez(folder / "weights.npz", **dict(pairs))
    yield "npz", folder / "weights.npz"
    np.savez(folder / "sorted.npz", **dict(sorted(pairs)))
    yield "npz sorted by name", folder / "sorted.npz"


def keras3(folder: Path) -> Original:
    """Keras 3's files of it."""
    model = keras.applications.MobileNet(**OPTIONS)
    randomise(model.weights, 8)
    given = images(SIZE)
    logits = keras.Model(model.inputs, model.layers[-2].output)(given).numpy()
    for name in ("whole.h5", "archive.keras"):
        model.save(folder / name)
    model.save_weights(folder / "only.weights.h5")
    model.export(folder / "exported", verbose=False)
    return Original(
        {name: folder / name for name in ("whole.h5", "archive.keras", "only.weights.h5", "exported")}, given, logits, "softmax"
    )
