"""Training the embedded release's encoder and generator to reconstruct digits: StylEx's losses without the adversary.

Lang et al. 2021, arXiv:2104.13369, section 3: the image, w and the classifier's output of the reconstruction are to be the
original's. A minute's training gives blurred digits whose styles do move the classifier, which is what a demonstration needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from checkpoints.mnist import Digits
from reference_tf import networks, run
from reference_tf.digits import as_images
from reference_tf.variables import assign, draw, names
from torch_models.config import EncoderConfig, GeneratorConfig, MobileNetV1Config

Array = NDArray[Any]

BATCH = 32
STEPS = 1500
LEARNING_RATE = 3e-3
# Shares of the losses beside the squared error of the pixels. The last holds w near zero mean and unit variance, where the
# untrained mapping's w lies too.
CLASSIFIER_SHARE, W_SHARE, MOMENTS_SHARE = 0.05, 0.02, 0.1


def train(
    generator_config: GeneratorConfig,
    encoder_config: EncoderConfig,
    classifier_config: MobileNetV1Config,
    classifier_variables: Mapping[str, Array],
    digits: Digits,
    seed: int,
    steps: int = STEPS,
) -> dict[str, dict[str, Array]]:
    """The variables of "generator" and "encoder" by name, trained from the values that `draw` gives for the seed.

    The mapping and dlatent_avg keep those values, and so does the constant noise. Sets TensorFlow's global seed and makes its
    operations deterministic for the rest of the process.
    """
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    classifier = run.load(classifier_config, classifier_variables)
    generator, encoder = networks.build(generator_config), networks.build(encoder_config)
    assign(generator, draw(generator_config, generator, seed))
    assign(encoder, draw(encoder_config, encoder, seed))
    trained = [
        *encoder.trainable_variables,
        *generator.style_vector_calculator.trainable_variables,
        *generator.g_synthesis.trainable_variables,
    ]
    optimiser = tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps), beta_1=0.5, beta_2=0.99)

    @tf.function(reduce_retracing=True)
    def step(x: Any, p: Any) -> Any:
        with tf.GradientTape() as tape:
            w = encoder(x)
            image = generator.g_synthesis(generator.style_vector_calculator(tf.concat([w, p], axis=1)))
            logits = classifier(tf.transpose(image, [0, 2, 3, 1]), training=False)
            loss = (
                tf.reduce_mean(tf.square(image - x))
                + CLASSIFIER_SHARE * tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(p, logits))
                + W_SHARE * tf.reduce_mean(tf.square(encoder(image) - w))
                + MOMENTS_SHARE * _distance_from_standard(w)
            )
        optimiser.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        return loss

    images = as_images(digits.images)
    probabilities = run.softmax(run.logits(classifier, images))
    images = images.transpose(0, 3, 1, 2)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        rows = rng.integers(0, len(images), BATCH)
        step(tf.constant(images[rows]), tf.constant(probabilities[rows]))
    return {
        name: {variable: value.numpy() for variable, value in names(network).items()}
        for name, network in (("generator", generator), ("encoder", encoder))
    }


def _distance_from_standard(w: Any) -> Any:
    """How far each entry of w [N, latent] is from zero mean and unit deviation over the batch, squared, on average."""
    mean, variance = tf.nn.moments(w, axes=[0])
    return tf.reduce_mean(tf.square(mean) + tf.square(tf.sqrt(variance + 1e-6) - 1))
