"""Training the embedded release's MobileNetV1 in TensorFlow: MNIST's eights against its nines.

As a command: python -m stylexport.reference_tf.release.digit_classifier CLASSIFIER writes it as a converted folder, which classifier.spec
of a training takes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from stylexport.checkpoints.mnist import Digits
from stylexport.common.types import Array
from stylexport.converter.output.convert import convert
from stylexport.reference_tf.networks import build
from stylexport.reference_tf.networks.saved_model import export_network
from stylexport.reference_tf.networks.variables import names
from stylexport.reference_tf.release.digits import as_images, eights_and_nines
from stylexport.reference_tf.release.random_release import FILES
from stylexport.torch_models.config import MobileNetV1Config, mobilenet_layers

SEED = 9
CLASSIFIER = MobileNetV1Config(mobilenet_layers(0.125), labels=2, resolution=32, dropout=0.001, momentum=0.05)
BATCH = 64
LEARNING_RATE = 1.5e-2
SHIFT = 2  # pixels, the width of the black border that as_images puts around a digit


def train(config: MobileNetV1Config, digits: Digits, seed: int, epochs: int = 14) -> dict[str, Array]:
    """The classifier's variables by name, after Adam on the cross-entropy of digits shifted by up to 2 pixels.

    The same seed gives the same values on the same processor and TensorFlow. Sets TensorFlow's global seed and makes its
    operations deterministic for the rest of the process.
    """
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    network = build.build(config)
    rng = np.random.default_rng(seed)
    images, steps = as_images(digits.images), len(digits.labels) // BATCH
    optimiser = tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(LEARNING_RATE, epochs * steps))
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(y, network(x, training=True))
        weights = network.trainable_variables
        optimiser.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))
        return value

    for _ in range(epochs):
        order = rng.permutation(len(images))
        for i in range(steps):
            rows = order[i * BATCH : (i + 1) * BATCH]
            step(tf.constant(_shifted(images[rows], rng)), tf.constant(digits.labels[rows]))
    return {name: variable.numpy() for name, variable in names(network).items()}


def accuracy(logits: Array, labels: Array) -> float:
    """Share of rows whose larger logit is the label's."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def _shifted(images: Array, rng: np.random.Generator) -> Array:
    """One shift for the whole batch: it costs little, and the next batch has another."""
    return np.roll(images, tuple(rng.integers(-SHIFT, SHIFT + 1, 2)), axis=(1, 2))


def write(folder: Path) -> None:
    """Trains the classifier and leaves it in `folder`, exported as the release's and converted from there."""
    variables = train(CLASSIFIER, eights_and_nines()[0], SEED)
    with tempfile.TemporaryDirectory() as work:
        export_network("classifier", CLASSIFIER, variables, Path(work) / FILES["classifier"])
        convert(work, folder, labels=("8", "9"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
