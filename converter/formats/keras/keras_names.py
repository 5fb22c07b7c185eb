"""The names that Keras would give to variables which its files hold under numbers or under an optimiser's words.

Keras 3 (`keras/src/saving/saving_lib.py`) addresses layers by class, not by name: `layers/conv2d_1/vars/0` is the first
variable of the second Conv2D in the model. A class's variables stand in the order of the table below; counters, in the order of
the model's configuration. Newer files repeat the layer's name as an attribute `name` of `vars`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

VARS = re.compile(r"(?:^|/)vars/\d+$")

# class -> (variable, the configuration's switch for it or None), in the order of add_weight: trainable ones first.
_KERNEL_BIAS = (("kernel", None), ("bias", "use_bias"))
_NORM = (("gamma", "scale"), ("beta", "center"))
VARIABLES: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "conv1d": _KERNEL_BIAS,
    "conv2d": _KERNEL_BIAS,
    "conv3d": _KERNEL_BIAS,
    "conv2d_transpose": _KERNEL_BIAS,
    "dense": _KERNEL_BIAS,
    "depthwise_conv2d": _KERNEL_BIAS,
    "separable_conv2d": (("depthwise_kernel", None), ("pointwise_kernel", None), ("bias", "use_bias")),
    "batch_normalization": (*_NORM, ("moving_mean", None), ("moving_variance", None)),
    "layer_normalization": _NORM,
    "group_normalization": _NORM,
    "embedding": (("embeddings", None),),
    "prelu": (("alpha", None),),
}
# Keras 2 calls it depthwise_kernel, Keras 3 kernel.
_KERAS2 = {("depthwise_conv2d", "kernel"): "depthwise_kernel"}

# The words by which optimisers of Keras 1 to 3 name what they keep a variable.
_SLOTS = """m v vhat momentum velocity velocity_hat rms mg linear average_gradient
    accumulator accum_grad accum_var accumulated_grad accumulated_delta_var"""
SLOTS = frozenset(_SLOTS.split())
# First parts of the names that Keras's optimisers give to their own variables.
_OPTIMIZERS = "adadelta adafactor adagrad adam adamax adamw ftrl lamb lion muon nadam rmsprop sgd training optimizer"
OPTIMIZERS = frozenset(_OPTIMIZERS.split())


@dataclass(frozen=True)
class Layer:
    """A layer in a model's configuration: `prefix` is what Keras puts before its variables' names."""

    prefix: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)


def optimizer_slot(name: str) -> str:
    """What an optimiser's variable is: "Adam/m/conv/kernel:0", "training/Adam/conv/kernel/m:0", "adam/conv_kernel_velocity"."""
    optimizer, *rest = [part for part in name.removesuffix(":0").split("/") if part != "training"] or [name]
    if not rest:
        return optimizer
    for word in (rest[0], rest[-1]):
        if word in SLOTS:
            return f"{optimizer}/{word}"
    if len(rest) == 1:
        endings = [slot for slot in SLOTS if rest[0].endswith(f"_{slot}")]
        return f"{optimizer}/{max(endings, key=len, default=rest[0])}"
    return optimizer


def variable_slot(name: str) -> str | None:
    """The slot of a variable named as Keras's optimisers name theirs ("Adam/m/conv/kernel"), None for any other."""
    first = re.sub(r"_\d+$", "", name.partition("/")[0].lower())
    return optimizer_slot(name) if first in OPTIMIZERS and "/" in name else None


def v3_names(
    paths: Iterable[str], layer_names: Mapping[str, str | None], config: Mapping[str, Any] | None, version: str | None
) -> dict[str, tuple[str, str | None]]:
    """HDF5 path -> (variable name, slot) for the paths `<owner>/vars/<n>` of a Keras 3 weights file, in the order of the layers.

    `layer_names`: the attribute `name` of each `<owner>/vars`, where the file has it. `config`: the model's configuration.
    Without either, the class in the path stands for the layer's name. Paths of another form keep themselves as names.
    """
    keras3 = version is None or not version.startswith("2.")
    layers = dict(_layers(config, "", "", keras3)) if config else {}
    place = {owner: number for number, owner in enumerate(layers)}
    paths = sorted(paths, key=lambda path: place.get(_owner(path), len(place)))
    count = dict.fromkeys(layer_names, 0)
    for path in paths:
        count[path.rpartition("/")[0]] = count.get(path.rpartition("/")[0], 0) + 1
    names: dict[str, tuple[str, str | None]] = {}
    for path in paths:
        group, _, number = path.rpartition("/")
        owner = _owner(path)
        label = layer_names.get(group)
        if not VARS.search(path):
            names[path] = (path, None)
        elif (kind := owner.split("/")[0]) in ("optimizer", "metrics", "loss_tracker") or owner.endswith("seed_generator"):
            names[path] = (f"{owner}/{number}", f"{label or kind}/{number}" if kind == "optimizer" else owner)
        else:
            layer = layers.get(owner) or _guessed(owner, layer_names, keras3)
            prefix = layer.prefix.rpartition("/")[0] + "/" if "/" in layer.prefix else ""
            base = prefix + label if label else layer.prefix
            names[path] = (f"{base}/{_variable(layer, int(number), count[group], keras3)}", None)
    return names


def _owner(path: str) -> str:
    """`layers/dense/vars/0` -> `layers/dense`; the model's own `vars/0` -> ``."""
    return path.rpartition("/")[0].removesuffix("vars").rstrip("/")


def _layers(model: Mapping[str, Any], path: str, prefix: str, keras3: bool) -> Iterator[tuple[str, Layer]]:
    """(owner path, layer) of every layer in a model's configuration, the model itself first."""
    config = _mapping(model.get("config"))
    kind, name = _snake_case(str(model.get("class_name"))), str(config.get("name") or model.get("name") or "model")
    yield path, Layer(prefix + name, kind, config)
    inner = config.get("layers")
    # Keras 3 names a variable by the scopes open when it was made: Sequential builds its layers inside its own, Functional
    # receives layers that are already built.
    scope = f"{prefix}{name}/" if keras3 and kind == "sequential" else ""
    counters: dict[str, int] = {}
    for layer in inner if isinstance(inner, list) else []:
        if not isinstance(layer, dict) or ".ops." in str(layer.get("module")):
            continue
        kind = _snake_case(str(layer.get("class_name")))
        counters[kind] = counters.get(kind, -1) + 1
        number = f"_{counters[kind]}" if counters[kind] else ""
        yield from _layers(layer, f"{path}/layers/{kind}{number}".lstrip("/"), scope, keras3)


def _guessed(owner: str, layer_names: Mapping[str, str | None], keras3: bool) -> Layer:
    """What can be read off a path: the class, its counter, and whether it stands inside a Sequential."""
    parent, _, last = owner.rpartition("/")
    parent = parent.removesuffix("layers").rstrip("/")
    scope = ""
    if keras3 and re.fullmatch(r"sequential(_\d+)?", parent.rpartition("/")[2]):
        scope = f"{layer_names.get(f'{parent}/vars') or parent.rpartition('/')[2]}/"
    return Layer(scope + (last or "model"), re.sub(r"_\d+$", "", last))


def _variable(layer: Layer, number: int, count: int, keras3: bool) -> str:
    """The name of a layer's variable, or its number where the table does not know or does not fit."""
    table = VARIABLES.get(layer.kind, ())
    here = [name for name, switch in table if switch is None or layer.config.get(switch, True)]
    if not layer.config and len(here) != count:
        here = [name for name, switch in table if switch is None]  # as with use_bias=False
    if len(here) != count or number >= count:
        return f"vars/{number}"
    return here[number] if keras3 else _KERAS2.get((layer.kind, here[number]), here[number])


def _snake_case(name: str) -> str:
    """Keras's own (`keras/src/utils/naming.py`): Conv2D -> conv2d, BatchNormalization -> batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
