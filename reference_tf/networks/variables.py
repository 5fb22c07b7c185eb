"""A network's variables by name: reading them from a SavedModel, assigning them, drawing them at random.

Names stand without the ":0" that TensorFlow prints behind them.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from stylexport.common.errors import BadInput, MappingError
from stylexport.common.types import Array
from stylexport.torch_models.config import GeneratorConfig, NetworkConfig

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def names(network: Any) -> dict[str, Any]:
    """The network's variables by released name. Raises MappingError where two share one."""
    pairs = [(v.name.removesuffix(":0"), v) for v in network.weights]
    _refuse_repeated(name for name, _ in pairs)
    return dict(pairs)


def load_variables(folder: Path | str) -> dict[str, Array]:
    """Every variable of a SavedModel folder, by full name, as TensorFlow reads it.

    Raises BadInput where there is no such SavedModel, and MappingError where two variables share a name.
    """
    prefix = Path(folder) / "variables" / "variables"
    if not prefix.with_suffix(".index").is_file():
        raise BadInput(f"{folder}: no SavedModel with variables (there is no variables/variables.index)")
    reader = tf.train.load_checkpoint(str(prefix))
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    attributes = [a for node in graph.nodes for a in node.attributes if a.checkpoint_key.endswith(SUFFIX)]
    keys = {a.checkpoint_key: a.full_name for a in attributes}  # a variable of two objects is listed twice
    _refuse_repeated(keys.values())
    return {name: reader.get_tensor(key) for key, name in sorted(keys.items(), key=lambda item: item[1])}


def assign(network: Any, variables: Mapping[str, Array]) -> None:
    """Give the network's variables their values by name, cast to the network's dtype.

    A discriminator's `style_gan2_dense_4` may have any counter. Raises MappingError, and assigns nothing, where a variable is
    missing, is one too many, or has another shape.
    """
    have, given = names(network), {_given(name): value for name, value in variables.items()}
    own = {_without_counter(name): name for name in have}
    given = {own.get(_without_counter(name), name): value for name, value in given.items()}
    _refuse("missing", sorted(set(have) - set(given)))
    _refuse("of no variable of this network", sorted(set(given) - set(have)))
    shapes = {name: (tuple(have[name].shape), np.shape(given[name])) for name in have}
    _refuse(
        "of another shape",
        [f"{name} {found}, expected {expected}" for name, (expected, found) in sorted(shapes.items()) if found != expected],
    )
    for name, variable in have.items():
        variable.assign(np.asarray(given[name], variable.dtype.as_numpy_dtype))


def draw(config: NetworkConfig, network: Any, seed: int) -> dict[str, Array]:
    """Random float32 values for every variable: asymmetric, never the default, and of sizes that keep signals near 1.

    Each variable's draw depends only on the seed and its name. Raises MappingError for a name that fits no row of `DRAWS`.
    """
    result = {}
    for name, variable in names(network).items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        result[name] = np.asarray(_row(name)(rng, tuple(variable.shape), config), np.float32)
    return result


Draw = Callable[[np.random.Generator, tuple[int, ...], Any], Array]


def _normal(std: float, mean: float = 0.0) -> Draw:
    return lambda rng, shape, config: mean + std * rng.standard_normal(shape, np.float32)


def _between(low: float, high: float) -> Draw:
    return lambda rng, shape, config: rng.uniform(low, high, shape)


def _mapping(std: float) -> Draw:
    # The multiplier scales these at run time (Karras et al. 2019, appendix C); its inverse brings them back to `std`.
    return lambda rng, shape, config: std / config.mapping_lr_multiplier * rng.standard_normal(shape, np.float32)


def _to_rgb(rng: np.random.Generator, shape: tuple[int, ...], config: GeneratorConfig) -> Array:
    # The image is a sum over the resolutions; styles around 1 with deviation 1 double each term's power. The sum is to have 0.5.
    return 0.35 / len(config.channels) ** 0.5 * rng.standard_normal(shape, np.float32)


def _signed(low: float, high: float) -> Draw:
    return lambda rng, shape, config: rng.uniform(low, high, shape) * rng.choice([-1.0, 1.0], shape)


def _kernel(rng: np.random.Generator, shape: tuple[int, ...], config: NetworkConfig) -> Array:
    # He et al. 2015, arXiv:1502.01852, equation 10
    return np.sqrt(2 / np.prod(shape[:-1])) * rng.standard_normal(shape, np.float32)


def _depthwise(rng: np.random.Generator, shape: tuple[int, ...], config: NetworkConfig) -> Array:
    return np.sqrt(2 / np.prod(shape[:2])) * rng.standard_normal(shape, np.float32)


# The first row whose pattern is found in a name decides how it is drawn.
DRAWS: tuple[tuple[str, Draw], ...] = (
    (r"/MappingDense_\d+$", _mapping(1.0)),
    (r"/MappingBias_\d+$", _mapping(0.2)),
    (r"/ToRGB\d+x\d+/ModulatedConv2D/weight$", _to_rgb),
    (r"/ToRGBBiasAct$", _normal(0.1)),
    (r"/NoiseStrength$", _signed(0.05, 0.3)),
    (r"^Noise\d+$|/Const4x4$", _normal(1.0)),
    (r"^dlatent_avg$", _normal(0.3)),
    (r"/weight$", _normal(1.0)),
    (r"BiasAct\w*$|/FromRGBBias$|/bias$|/beta$|/moving_mean$", _normal(0.2)),
    (r"/gamma$", _between(0.7, 1.5)),
    (r"/moving_variance$", _between(0.6, 1.3)),
    (r"/depthwise_kernel$", _depthwise),
    (r"/kernel$", _kernel),
)


def _row(name: str) -> Draw:
    for pattern, how in DRAWS:
        if re.search(pattern, name):
            return how
    raise MappingError(f"no row of DRAWS says how to draw {name}")


def _given(name: str) -> str:
    return name.removesuffix(":0")


def _without_counter(name: str) -> str:
    return re.sub(r"(/style_gan2_dense)_\d+/", r"\1/", name)


def _refuse(what: str, found: list[str]) -> None:
    if found:
        more = f" and {len(found) - 8} more" if len(found) > 8 else ""
        raise MappingError(f"variables {what}: {'; '.join(found[:8])}{more}")


def _refuse_repeated(found: Iterable[str]) -> None:
    _refuse("that share a name", sorted(name for name, n in Counter(found).items() if n > 1))
