"""A classifier's steps from Keras's own model configuration (HDF5, .keras, or a SavedModel's metadata).

The configuration is JSON of the user's, so every value is checked as it is read: `_entry`, `_text`, `_number` and `_pair` raise NotAChain
for one that is missing or of another type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stylexport.converter.formats.base import Variable
from stylexport.converter.mapping.classifier.layer_chain import (
    Activation,
    BatchNorm,
    Bias,
    Conv,
    Dropout,
    NotAChain,
    Pad,
    Pool,
    Reshape,
    Scale,
    Step,
)

_MODELS = ("Sequential", "Functional", "Model")
_SILENT = ("InputLayer",)
_ACTIVATIONS = [
    "relu",
    "relu6",
    "elu",
    "selu",
    "softplus",
    "tanh",
    "sigmoid",
    "softmax",
    "swish",
    "silu",
    "linear",
    "leaky_relu",
    "hard_swish",
    "hard_silu",
    "gelu",
]


def read_steps(model: Mapping[str, Any], variables: Sequence[Variable]) -> tuple[list[Step], int | None]:
    """The steps of a model, and its input's height where the configuration tells it. Raises NotAChain."""
    layers = list(_chain(model))
    steps = [step for kind, config in layers for step in _steps(kind, config, variables)]
    return steps, next((h for kind, config in layers if (h := _height(config))), None)


def _entry(values: Any, name: str) -> Any:
    """An entry that Keras always writes. Raises NotAChain where it is missing."""
    if not isinstance(values, Mapping) or name not in values:
        raise NotAChain(f"Keras's configuration lacks `{name}` in {str(values)[:60]}")
    return values[name]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotAChain(f"Keras's configuration has {what} {str(value)[:60]!r} where a list belongs")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise NotAChain(f"Keras's configuration has {what} {str(value)[:60]!r} where a name belongs")
    return value


def _number(value: Any, what: str) -> float:
    if not isinstance(value, int | float):
        raise NotAChain(f"Keras's configuration has {what} {str(value)[:60]!r} where a number belongs")
    return float(value)


def _pair(value: Any, what: str) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    pair = [value, value] if isinstance(value, int) else value
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(n, int) for n in pair):
        raise NotAChain(f"Keras's configuration has {what} {str(value)[:60]!r} where two whole numbers belong")
    return pair[0], pair[1]


def momentum(model: Mapping[str, Any]) -> float | None:
    """Keras's BatchNormalization momentum, where all layers agree on one."""
    found = {config.get("momentum") for kind, config in _all_layers(model) if kind.startswith("BatchNormalization")}
    value = found.pop() if len(found) == 1 else None
    return float(value) if isinstance(value, (int, float)) else None


def _all_layers(model: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    config = model.get("config") if isinstance(model, Mapping) else None
    layers = config if isinstance(config, list) else config.get("layers", []) if isinstance(config, Mapping) else []
    for layer in layers:
        if isinstance(layer, Mapping):
            if layer.get("class_name") in _MODELS:
                yield from _all_layers(layer)
            elif isinstance(layer.get("config"), Mapping):
                yield str(layer.get("class_name")), layer["config"]


def _chain(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(class, configuration) of each layer, input first; models inside the model opened."""
    config = _entry(model, "config")
    # Keras before 2.2 wrote a Sequential's layers without a table around them.
    layers = config if isinstance(config, list) else _list(_entry(config, "layers"), "layers")
    if _entry(model, "class_name") != "Sequential" and not isinstance(config, list):
        layers = _from_output(layers, config)
    for layer in layers:
        kind, own = _text(_entry(layer, "class_name"), "the class"), _entry(layer, "config")
        if kind in _MODELS:
            yield from _chain(layer)
        elif isinstance(own, Mapping):
            yield kind, own
        else:
            raise NotAChain(f"Keras's configuration of a {kind} is not a table of settings")


def _from_output(layers: list[Any], config: Mapping[str, Any]) -> list[Any]:
    named = {_name(layer): layer for layer in layers}
    name = next(_references(_entry(config, "output_layers"), named), None)
    chain: list[Any] = []
    while name is not None:
        chain.append(named[name])
        before = set(_references(named[name].get("inbound_nodes", []), named))
        if len(before) > 1:
            raise NotAChain(f"layer {name} joins {', '.join(sorted(before))}")
        if len(chain) > len(named):
            raise NotAChain("the layers run in a circle")
        name = next(iter(before), None)
    return chain[::-1]


def _name(layer: Any) -> str:
    own = layer.get("name") if isinstance(layer, Mapping) else None
    return _text(own or _entry(_entry(layer, "config"), "name"), "the name")


def _references(value: Any, named: Mapping[str, Any]) -> Iterator[str]:
    """Layers named in Keras's tensor references: ["layer", 0, 0, ...] at any depth."""
    if isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and value[0] in named and isinstance(value[1], int):
            yield value[0]
        else:
            for item in value:
                yield from _references(item, named)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _references(item, named)


def _steps(kind: str, config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    kind = kind.rsplit(">", 1)[-1]  # "Custom>..." registrations
    if kind in _SILENT:
        return
    if kind.startswith("BatchNormalization"):
        kind = "BatchNormalization"
    reader = _READERS.get(kind)
    if reader is None:
        raise NotAChain(f"layer {config.get('name')} is a {kind}, which no MobileNetV1 has")
    if config.get("data_format") == "channels_first" and kind == "Flatten":
        raise NotAChain("a flattened NCHW map")
    yield from reader(config, variables)


def _weight(config: Mapping[str, Any], variables: Sequence[Variable], *tails: str) -> str:
    name = _text(_entry(config, "name"), "the name")
    found = [v for v in variables if v.slot is None and any(f"/{v.name}".endswith(f"/{name}/{tail}") for tail in tails)]
    if len(found) != 1:
        raise NotAChain(f"layer {name} has {len(found)} variables called {tails[0]}")
    return found[0].key


def _conv(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Conv(
        _weight(config, variables, "kernel"),
        stride=_pair(config.get("strides", 1), "strides"),
        dilation=_pair(config.get("dilation_rate", 1), "dilations"),
        padding=_text(_entry(config, "padding"), "the padding"),
    )
    yield from _tail(config, variables)


def _depthwise(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    kernel = _weight(config, variables, "depthwise_kernel", "kernel")
    stride, dilation = _pair(config.get("strides", 1), "strides"), _pair(config.get("dilation_rate", 1), "dilations")
    yield Conv(kernel, True, stride, dilation, _text(_entry(config, "padding"), "the padding"))
    yield from _tail(config, variables)


def _dense(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Conv(_weight(config, variables, "kernel"), padding="valid", dense=True)
    yield from _tail(config, variables)


def _tail(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    if config.get("use_bias", True):
        yield Bias(_weight(config, variables, "bias"))
    yield from _activation(config, variables)


def _activation(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    name = config.get("activation") or "linear"
    name = name.get("config", name) if isinstance(name, Mapping) else name
    if name not in _ACTIVATIONS:
        raise NotAChain(f"layer {config.get('name')} has the activation {name!r}")
    if name != "linear":
        name = {"silu": "swish", "hard_silu": "hard_swish"}.get(name, name)  # Keras 3's words and Keras 2's
        yield Activation(name, 0.2 if name == "leaky_relu" else 0.0)


def _relu(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    most, slope = config.get("max_value"), _number(config.get("negative_slope") or 0.0, "a slope")
    if most not in (None, 6, 6.0) or config.get("threshold") or (slope and most):
        raise NotAChain(f"layer {config.get('name')} is a ReLU with max_value {most}, slope {slope}, threshold {config.get('threshold')}")
    yield Activation("leaky_relu", slope) if slope else Activation("relu" if most is None else "relu6")


def _leaky(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    slope = config.get("alpha", config.get("negative_slope", 0.3))
    yield Activation("leaky_relu", _number(slope.get("value") if isinstance(slope, Mapping) else slope, "a slope"))


def _norm(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield BatchNorm(
        _number(_entry(config, "epsilon"), "an epsilon"),
        _weight(config, variables, "gamma") if config.get("scale", True) else None,
        _weight(config, variables, "beta") if config.get("center", True) else None,
        _weight(config, variables, "moving_mean"),
        _weight(config, variables, "moving_variance"),
    )


def _pad(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    padding = _entry(config, "padding")
    if not isinstance(padding, list | tuple) or len(padding) != 2:
        raise NotAChain(f"Keras's configuration has the padding {str(padding)[:60]!r} where two pairs belong")
    rows, columns = (_pair(sides, "padding") for sides in padding)
    yield Pad((*rows, *columns))


def _pool(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Pool()


def _average(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Pool(_pair(_entry(config, "pool_size"), "a window")[0])


def _dropout(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Dropout(_number(_entry(config, "rate"), "a rate"))


def _rescaling(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Scale(_number(_entry(config, "scale"), "a scale"), _number(config.get("offset", 0.0), "an offset"))


def _softmax(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Activation("softmax")


def _reshape(config: Mapping[str, Any], variables: Sequence[Variable]) -> Iterator[Step]:
    yield Reshape()


_READERS: Mapping[str, Callable[[Mapping[str, Any], Sequence[Variable]], Iterator[Step]]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "Dense": _dense,
    "BatchNormalization": _norm,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "Softmax": _softmax,
    "ZeroPadding2D": _pad,
    "GlobalAveragePooling2D": _pool,
    "AveragePooling2D": _average,
    "Dropout": _dropout,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "Flatten": _reshape,
}


def _height(config: Mapping[str, Any]) -> int | None:
    shape = config.get("batch_input_shape") or config.get("batch_shape") or config.get("shape")
    return int(shape[1]) if isinstance(shape, (list, tuple)) and len(shape) == 4 and isinstance(shape[1], int) else None
