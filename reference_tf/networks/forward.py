"""Running the reference networks on a release's variables: numpy inputs to numpy outputs, in float32 or float64.

Every convolution has a transpose before and after it, so that the networks run on a CPU as on any device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.types import Array
from stylexport.reference_tf.networks import build
from stylexport.reference_tf.networks.variables import assign
from stylexport.torch_models.config import NetworkConfig


def load(config: NetworkConfig, variables: Mapping[str, Array], dtype: str = "float32") -> Any:
    """The network that carries these variables. Raises MappingError where they do not fit."""
    network = build.build(config, dtype, cpu=True)
    assign(network, variables)
    return network


def mapping(generator: Any, z: Array) -> Array:
    """From z [N, z] to w [N, latent]."""
    return generator.g_mapping(_tensor(generator, z), training=False).numpy()


def styles(generator: Any, dlatent: Array) -> tuple[list[Array], list[Array]]:
    """From dlatent [N, latent + labels] to (convolution styles, toRGB styles), two lists of [N, C]."""
    conv, rgb = generator.style_vector_calculator(_tensor(generator, dlatent), training=False)
    return [s.numpy() for s in conv], [s.numpy() for s in rgb]


def image(generator: Any, conv: Sequence[Array], rgb: Sequence[Array]) -> Array:
    """(convolution styles, toRGB styles) to images [N, 3, R, R], unclipped."""
    given = [_tensor(generator, s) for s in conv], [_tensor(generator, s) for s in rgb]
    return generator.g_synthesis(given, training=False).numpy()


def encode(encoder: Any, images: Array) -> Array:
    """Images [N, 3, R, R] to w [N, latent]."""
    return encoder(_tensor(encoder, images), training=False).numpy()


def score(discriminator: Any, images: Array, probabilities: Array) -> Array:
    """Images [N, 3, R, R] and label probabilities [N, labels] to scores [N, 1]."""
    return discriminator([_tensor(discriminator, images), _tensor(discriminator, probabilities)], training=False).numpy()


def logits(classifier: Any, images: Array) -> Array:
    """Images [N, R, R, 3] to the classifier's outputs [N, labels]."""
    return classifier(_tensor(classifier, images), training=False).numpy()


def softmax(values: Array) -> Array:
    """Probabilities of logits [N, labels], computed in float64 and rounded to the logits' dtype."""
    exact = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
    return (exact / exact.sum(axis=1, keepdims=True)).astype(values.dtype)


def outputs(config: NetworkConfig, variables: Mapping[str, Array], inputs: Mapping[str, Array], dtype: str = "float32") -> dict[str, Array]:
    """All outputs of a network for named inputs.

    Inputs are `z`, `probabilities` and `image` ([N, 3, R, R]); each network takes those that it needs. Outputs:

        generator      w, conv_styles and torgb_styles (each layer's side by side, [N, S]), image; dlatent is w with probabilities
        encoder        w
        discriminator  score
        classifier     logits
    """
    network = load(config, variables, dtype)
    return build.reference_of(config).outputs(network, {name: np.asarray(value, dtype) for name, value in inputs.items()})


def generator_outputs(network: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The generator's outputs by name, for any generator that has the release's parts."""
    w = mapping(network, inputs["z"])
    conv, rgb = styles(network, np.concatenate([w, inputs["probabilities"]], axis=1))
    return {
        "w": w,
        "conv_styles": np.concatenate(conv, axis=1),
        "torgb_styles": np.concatenate(rgb, axis=1),
        "image": image(network, conv, rgb),
    }


def _tensor(network: Any, value: Array) -> Any:
    return tf.constant(value, network.dtype)
