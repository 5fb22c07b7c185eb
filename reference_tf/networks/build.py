"""From a configuration to a reference network: its variables can then be assigned, and the network run and saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tf_keras

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.reference_tf.networks.layers import Execution
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import kind_of


@dataclass(frozen=True)
class Reference:
    """A known network in TensorFlow (`NetworkKind.reference`).

    `model(config, execution)` builds it. `outputs(model, inputs)` gives its named outputs for named inputs, images [N, 3, R, R].
    `inputs(config)` gives each input's name and shape without the samples; several inputs are a list, which a SavedModel distinguishes
    from a tuple: the authors' notebook calls discriminator([images, probabilities]). None for a functional model, which has them already.
    """

    model: Callable[[Any, Execution], Any]
    outputs: Callable[[Any, Mapping[str, Array]], dict[str, Array]]
    inputs: Callable[[Any], dict[str, tuple[int, ...]]] | None = None


def reference_of(config: NetworkConfig) -> Reference:
    """The reference of a known network. Raises BadInput where it has none."""
    kind = kind_of(config)
    if kind is None or kind.reference is None:
        raise BadInput(f"the {config.network} has no TensorFlow reference")
    found: Reference = kind.reference.load()
    return found


def build(config: NetworkConfig, dtype: str = "float32", *, cpu: bool = True) -> Any:
    """The network as a tf_keras model, its variables all at zero (a functional model's at Keras's initial values).

    `dtype` is "float32" or "float64". With `cpu` it runs anywhere, without it has the original's NCHW convolutions; its
    variables are the same. The network is called once on symbolic inputs, so that Keras knows what to save, and nothing runs.
    Raises BadInput for a network without a reference.
    """
    reference = reference_of(config)
    network = reference.model(config, Execution(dtype, cpu))
    if reference.inputs is not None:
        inputs = [tf_keras.Input(shape, dtype=dtype, name=name) for name, shape in reference.inputs(config).items()]
        network(inputs if len(inputs) > 1 else inputs[0])
    return network
