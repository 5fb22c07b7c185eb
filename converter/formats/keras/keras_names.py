"""The names that Keras would give to variables which its files hold under numbers or under an optimiser's words.

Keras 3 (`keras/src/saving/saving_lib.py`) addresses layers by class, not by name: `layers/conv2d_1/vars/0` is the first
variable of the second Conv2D in the model. A class's variables stand in the order of the table below; counters, in the order of
the model's configuration. Newer files repeat the layer's name as an attribute `name` of `vars`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    "normalization": (("mean", None), ("variance", None), ("count", None)),
    "cell": (("kernel", None), ("recurrent_kernel", None), ("bias", "use_bias")),
    **dict.fromkeys(("einsum_dense", "query_dense", "key_dense", "value_dense", "output_dense"), _KERNEL_BIAS),
    **dict.fromkeys(("_query_dense", "_key_dense", "_value_dense", "_output_dense"), _KERNEL_BIAS),
}
# What Keras 2 calls the projections of its attention, which are attributes of these names.
_PARTS = {"_query_dense": "query", "_key_dense": "key", "_value_dense": "value", "_output_dense": "attention_output"}
# Keras 2 calls it depthwise_kernel, Keras 3 kernel.
_KERAS2 = {("depthwise_conv2d", "kernel"): "depthwise_kernel"}


@dataclass(frozen=True)
class Layer:
    """A layer in a model's configuration: `prefix` is what Keras puts before its variables' names."""

    prefix: str
    kind: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a dataset is: the variable's name, its slot, and the attributes that lead to it through the model."""

    name: str
    slot: str | None = None
    path: str = ""


def v3_names(
    shapes: Mapping[str, tuple[int, ...]], layer_names: Mapping[str, str | None], config: Mapping[str, Any] | None, version: str | None
) -> dict[str, Found]:
    """HDF5 path -> what it is, for the paths `<owner>/vars/<n>` of a Keras 3 weights file, in the order of the layers.

    `shapes`: every path with the dataset's shape. `layer_names`: the attribute `name` of each `<owner>/vars`, where the file has it.
    `config`: the model's configuration. Without either, the class in the path stands for the layer's name. Paths of another form keep
    themselves as names.
    """
    keras3 = version is None or not version.startswith("2.")
    model = _Model(dict(_layers(config, "", "", keras3)) if config else {}, layer_names, keras3)
    place = {owner: number for number, owner in enumerate(model.layers)}
    paths = sorted(shapes, key=lambda path: place.get(_owner(path), len(place)))
    groups: dict[str, dict[int, tuple[int, ...]]] = {}
    for path in paths:
        if VARS.search(path):
            groups.setdefault(_owner(path), {})[int(path.rpartition("/")[2])] = shapes[path]
    names: dict[str, Found] = {}
    for path in paths:
        owner, number = _owner(path), path.rpartition("/")[2]
        if not VARS.search(path):
            names[path] = Found(path)
        elif (kind := owner.split("/")[0]) in ("optimizer", "metrics", "loss_tracker") or owner.endswith("seed_generator"):
            label = layer_names.get(path.rpartition("/")[0]) or kind
            names[path] = Found(f"{owner}/{number}", f"{label}/{number}" if kind == "optimizer" else owner)
        else:
            layer = model.layer(owner)
            name = _variable(layer, int(number), groups[owner], keras3)
            names[path] = Found(f"{layer.prefix}/{name}", None, f"{owner}/{name}".lstrip("/"))
    return names


@dataclass(frozen=True)
class _Model:
    """What a file tells of its layers: those in the configuration by their paths, and the names that it repeats."""

    layers: Mapping[str, Layer]
    layer_names: Mapping[str, str | None]
    keras3: bool

    def layer(self, owner: str) -> Layer:
        """The layer at a path: as the configuration has it, else as a part of the layer that it lies in, else as its path tells."""
        label = self.layer_names.get(f"{owner}/vars".lstrip("/"))
        if owner in self.layers:
            found = self.layers[owner]
        elif (parent := owner.rpartition("/")[0]) and (parent in self.layers or f"{parent}/vars" in self.layer_names):
            found = _part(self.layer(parent), owner.rpartition("/")[2])
        else:
            found = _guessed(owner, self.layer_names, self.keras3)
        if not label:
            return found
        scope = found.prefix.rpartition("/")[0]
        kind = found.kind if found.kind in VARIABLES else re.sub(r"_\d+$", "", label)
        return Layer(f"{scope}/{label}".lstrip("/"), kind, found.config)


def _part(above: Layer, attribute: str) -> Layer:
    """A layer that is an attribute of another one: Bidirectional's forward_layer and backward_layer, TimeDistributed's layer, a cell."""
    direction = attribute.removesuffix("layer") if attribute in ("forward_layer", "backward_layer") else ""
    own = _mapping(above.config.get(attribute) or (above.config.get("layer") if direction else None))
    kind = _snake_case(str(own.get("class_name"))) if own else attribute
    written = _mapping(own.get("config")).get("name")
    name = (
        direction + written
        if isinstance(written, str)
        else f"{above.kind}_cell"
        if attribute == "cell"
        else _PARTS.get(attribute, attribute)
    )
    return Layer(f"{above.prefix}/{name}", kind, _mapping(own.get("config")) or (above.config if attribute == "cell" else {}))


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


def _variable(layer: Layer, number: int, shapes: Mapping[int, tuple[int, ...]], keras3: bool) -> str:
    """The name of a layer's variable, or its number where neither the table nor the shapes of all of them tell."""
    table = VARIABLES.get(layer.kind, ())
    here = [name for name, switch in table if switch is None or layer.config.get(switch, True)]
    if not layer.config and len(here) != len(shapes):
        here = [name for name, switch in table if switch is None]  # as with use_bias=False
    if not table:
        here = _by_shapes([shapes[place] for place in sorted(shapes)])
    if len(here) != len(shapes) or number >= len(here):
        return f"vars/{number}"
    return here[number] if keras3 else _KERAS2.get((layer.kind, here[number]), here[number])


def _by_shapes(shapes: list[tuple[int, ...]]) -> list[str]:
    """The variables of a layer of an unknown class, where their shapes can only be those of one kind."""
    ranks = [len(shape) for shape in shapes]
    if ranks[1:] == [1] and ranks[0] > 1 and shapes[1][0] == shapes[0][-1]:
        return ["kernel", "bias"]
    if ranks == [1, 1, 1, 1] and len(set(shapes)) == 1:
        return [name for name, _ in VARIABLES["batch_normalization"]]
    return []


def _snake_case(name: str) -> str:
    """Keras's own (`keras/src/utils/naming.py`): Conv2D -> conv2d, BatchNormalization -> batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
