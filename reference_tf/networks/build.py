"""From a configuration to a reference network: its variables can then be assigned, and the network run and saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tf_keras

from stylexport.reference_tf.networks.discriminator import Discriminator, Encoder
from stylexport.reference_tf.networks.generator import Generator
from stylexport.reference_tf.networks.layers import Execution
from stylexport.reference_tf.networks.mobilenet import mobilenet
from stylexport.torch_models.config import DiscriminatorConfig, EncoderConfig, GeneratorConfig, MobileNetV1Config, NetworkConfig

BUILDERS: dict[type[NetworkConfig], Callable[[Any, Execution], Any]] = {
    GeneratorConfig: Generator,
    EncoderConfig: Encoder,
    DiscriminatorConfig: Discriminator,
    MobileNetV1Config: mobilenet,
}

# Each input's name and shape without the batch. Several inputs are a list, which a SavedModel distinguishes from a tuple: the notebook
# calls discriminator([images, probabilities]). The classifier is a functional model, which has its inputs already.
INPUTS: dict[type[NetworkConfig], Callable[[Any], dict[str, tuple[int, ...]]]] = {
    GeneratorConfig: lambda c: {"z": (c.z,), "probabilities": (c.labels,)},
    EncoderConfig: lambda c: {"images": (c.image_channels, c.resolution, c.resolution)},
    DiscriminatorConfig: lambda c: {
        "images": (c.image_channels, c.resolution, c.resolution),
        "probabilities": (c.labels,),
    },
}


def build(config: NetworkConfig, dtype: str = "float32", *, cpu: bool = True) -> Any:
    """The network as a tf_keras model, its variables all at zero (a functional model's at Keras's initial values).

    `dtype` is "float32" or "float64". With `cpu` it runs anywhere, without it has the original's NCHW convolutions; its
    variables are the same. The network is called once on symbolic inputs, so that Keras knows what to save, and nothing runs.
    """
    network = BUILDERS[type(config)](config, Execution(dtype, cpu))
    shapes = INPUTS.get(type(config))
    if shapes is not None:
        inputs = [tf_keras.Input(shape, dtype=dtype, name=name) for name, shape in shapes(config).items()]
        network(inputs if len(inputs) > 1 else inputs[0])
    return network
