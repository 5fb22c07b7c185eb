"""Writes benchmarks/robustness/corpus: one small network in every format that TensorFlow writes. Its bytes are committed.

python -m benchmarks.robustness.write_corpus
"""

from __future__ import annotations

import os
import shutil
import tarfile

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from benchmarks.robustness.subjects import CORPUS, TABLE
from stylexport.reference_tf.record import record


def network(library: object) -> object:
    """A convolution with BatchNorm and a dense layer, in Keras 2 or 3, with the same numbers each time."""
    layers = library.layers  # type: ignore[attr-defined]
    made = library.Sequential(  # type: ignore[attr-defined]
        [
            layers.Input((4, 4, 2), name="image"),
            layers.Conv2D(3, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ],
        name="small",
    )
    numbers = np.random.default_rng(5)
    made.set_weights([numbers.uniform(0.5, 1.5, value.shape).astype(np.float32) for value in made.get_weights()])
    return made


def write() -> None:
    """All of them, anew."""
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir()
    old, new = network(tf_keras), network(keras)
    old.save(CORPUS / "keras2.h5")  # type: ignore[attr-defined]
    old.save_weights(CORPUS / "weights.h5")  # type: ignore[attr-defined]
    new.save(CORPUS / "keras3.keras")  # type: ignore[attr-defined]
    new.save_weights(CORPUS / "keras3.weights.h5")  # type: ignore[attr-defined]

    inputs = tf.TensorSpec((None, 4, 4, 2), tf.float32, name="image")
    serve = tf.function(lambda image: {"logits": old(image)}).get_concrete_function(inputs)  # type: ignore[operator]
    tf.saved_model.save(old, str(CORPUS / "saved_model"), signatures={"serving_default": serve})
    for extra in ("assets", "fingerprint.pb", "keras_metadata.pb"):
        path = CORPUS / "saved_model" / extra
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    tf.train.Checkpoint(model=old).write(str(CORPUS / "variables"))

    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    (CORPUS / "frozen.pb").write_bytes(convert_variables_to_constants_v2(serve).graph.as_graph_def().SerializeToString())

    values = {variable.name.removesuffix(":0"): variable.numpy() for variable in old.weights}  # type: ignore[attr-defined]
    for version, name in ((tf.compat.v1.train.SaverDef.V1, "v1.ckpt"), (tf.compat.v1.train.SaverDef.V2, "v2.ckpt")):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            for variable, value in values.items():
                tf.compat.v1.get_variable(variable, initializer=tf.constant(value))
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.train.Saver(write_version=version).save(session, str(CORPUS / name), write_meta_graph=name == "v2.ckpt")
    with tarfile.open(CORPUS / "v1.tgz", "w:gz") as archive:
        archive.add(CORPUS / "v1.ckpt", "v1.ckpt")

    (CORPUS / "checkpoint").unlink()  # TensorFlow's note of which checkpoint is the last, by its path on this machine

    table = CORPUS / "table.yaml"
    table.write_text(TABLE)
    record([CORPUS / "saved_model"], CORPUS / "small.recording.safetensors", mapping=table, samples=2)


if __name__ == "__main__":
    write()
    for found in sorted(path for path in CORPUS.rglob("*") if path.is_file()):
        print(f"{found.stat().st_size:8} {found.relative_to(CORPUS)}")
