"""MobileNetV1 from a chain of steps: its configuration and its rule table (Howard et al. 2017, table 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
from stylexport.converter.mapping.layouts import DenseAsConv, Depthwise, Hwio, Squeeze
from stylexport.converter.mapping.rules import Binding, Rule
from stylexport.torch_models.config import ConvSpec, MobileNetV1Config

Sides = tuple[int, int, int, int]
_OUTPUTS = ("softmax", "sigmoid")


@dataclass
class _Layer:
    """A convolution and the steps behind it, up to the next one."""

    conv: Conv
    pad: Sides | None
    bias: Bias | None = None
    norm: BatchNorm | None = None
    activation: Activation | None = None
    pool: Pool | None = None


def read(steps: Sequence[Step], variables: Mapping[str, Variable], resolution: int | None) -> tuple[MobileNetV1Config, list[Binding]]:
    """The configuration, and a binding for every tensor. Raises NotAChain where the steps are not MobileNetV1's."""
    layers, scale, dropout = _layers(steps)
    if len(layers) < 4:
        raise NotAChain(f"it has {len(layers)} convolutions; MobileNetV1 has a stem, pairs of depthwise and pointwise, and a head")
    *body, head = layers
    output = head.activation.name if head.activation and head.activation.name in _OUTPUTS else "linear"
    _check_form(body, head)
    specs: list[ConvSpec] = []
    bindings: list[Binding] = []
    into = variables[body[0].conv.kernel].shape[2]
    image_channels = into
    for number, layer in enumerate(body):
        spec = _spec(layer, variables)
        specs.append(spec)
        bindings += _bindings(layer, _name(number), spec, into, variables)
        into = spec.out
    _check_window(body[-1].pool, specs, resolution)
    kernel = variables[head.conv.kernel]
    labels = kernel.shape[-1]
    layout = DenseAsConv() if head.conv.dense else Hwio()
    bindings.append(Binding(Rule(kernel.name, "head.weight", layout, (labels, into, 1, 1)), kernel))
    if head.bias:
        bias = variables[head.bias.key]
        bindings.append(Binding(Rule(bias.name, "head.bias", Squeeze(1), (labels,)), bias))
    config = MobileNetV1Config(
        layers=tuple(specs),
        labels=labels,
        resolution=resolution,
        image_channels=image_channels,
        dropout=dropout,
        head_bias=head.bias is not None,
        output=output,
        image_scale=scale.scale,
        image_shift=scale.shift,
    )
    return config, bindings


def _name(number: int) -> str:
    """conv0, b1.depthwise, b1.pointwise, b2.depthwise, ..."""
    if number == 0:
        return "conv0"
    return f"b{(number + 1) // 2}.{'depthwise' if number % 2 else 'pointwise'}"


def keras_table(config: MobileNetV1Config) -> list[Rule]:
    """The table of a MobileNetV1 built by Keras in a fresh process, whose layers have Keras's automatic names (for export-tf)."""
    counts: dict[str, int] = {}

    def fresh(base: str) -> str:
        number = counts[base] = counts.get(base, -1) + 1
        return f"{base}_{number}" if number else base

    rules: list[Rule] = []
    into = config.image_channels
    for number, spec in enumerate(config.layers):
        name = _name(number)
        layer = fresh("depthwise_conv2d" if spec.depthwise else "conv2d")
        kernel, layout = ("depthwise_kernel", Depthwise()) if spec.depthwise else ("kernel", Hwio())
        shape = (spec.out, 1 if spec.depthwise else into, *spec.kernel)
        rules.append(Rule(f"{layer}/{kernel}", f"{name}.conv.weight", layout, shape))
        vectors = [(f"{layer}/bias", "conv.bias")] if spec.bias else []
        if spec.epsilon is not None:
            norm = fresh("batch_normalization")
            vectors += [(f"{norm}/gamma", "bn.weight")] if spec.scale else []
            vectors += [(f"{norm}/beta", "bn.bias")] if spec.center else []
            vectors += [(f"{norm}/moving_mean", "bn.running_mean"), (f"{norm}/moving_variance", "bn.running_var")]
        rules += [Rule(tf, f"{name}.{torch}", Squeeze(1), (spec.out,)) for tf, torch in vectors]
        into = spec.out
    head = fresh("conv2d")
    rules.append(Rule(f"{head}/kernel", "head.weight", Hwio(), (config.labels, into, 1, 1)))
    return [*rules, Rule(f"{head}/bias", "head.bias", Squeeze(1), (config.labels,))] if config.head_bias else rules


def _layers(steps: Sequence[Step]) -> tuple[list[_Layer], Scale, float]:
    layers: list[_Layer] = []
    pad: Sides | None = None
    scale, dropout = Scale(1.0, 0.0), 0.0
    for step in steps:
        if isinstance(step, Pad):
            pad = step.sides if pad is None else _sum(pad, step.sides)
        elif isinstance(step, Conv):
            layers.append(_Layer(step, pad))
            pad = None
        elif pad is not None:
            raise NotAChain(f"{type(step).__name__} stands between explicit padding and a convolution")
        elif isinstance(step, Scale) and not layers:
            scale = Scale(scale.scale * step.scale, scale.shift * step.scale + step.shift)
        elif isinstance(step, Dropout):
            dropout = step.rate
        elif isinstance(step, Reshape):
            if not any(layer.pool for layer in layers):
                raise NotAChain("a map is reshaped before global average pooling")
        elif not layers:
            raise NotAChain(f"{type(step).__name__} stands before the first convolution")
        else:
            _add(layers[-1], step)
    if pad is not None:
        raise NotAChain("explicit padding stands behind the last convolution")
    return layers, scale, dropout


def _sum(pad: Sides, more: Sides) -> Sides:
    return pad[0] + more[0], pad[1] + more[1], pad[2] + more[2], pad[3] + more[3]


def _add(layer: _Layer, step: Step) -> None:
    if isinstance(step, Pool) and layer.pool is None:
        layer.pool = step
    elif isinstance(step, Activation) and layer.activation is None and layer.pool is None:
        layer.activation = step
    elif isinstance(step, BatchNorm) and layer.norm is None and layer.activation is None and layer.pool is None:
        layer.norm = step
    elif isinstance(step, Bias) and layer.bias is None and layer.norm is None and layer.activation is None and layer.pool is None:
        layer.bias = step
    else:
        raise NotAChain(f"behind {layer.conv.kernel} stands a second or misplaced {type(step).__name__}")


def _check_form(body: Sequence[_Layer], head: _Layer) -> None:
    if body[0].conv.depthwise:
        raise NotAChain("it begins with a depthwise convolution")
    for number, layer in enumerate(body[1:], 1):
        if layer.conv.depthwise != bool(number % 2):
            raise NotAChain(f"convolution {number} ({layer.conv.kernel}) breaks the order depthwise, pointwise")
    if len(body) % 2 == 0:
        raise NotAChain("its last depthwise convolution has no pointwise one")
    pooled = [layer.pool is not None for layer in body]
    if pooled != [False] * (len(body) - 1) + [True] or head.norm or head.conv.depthwise or head.pool:
        raise NotAChain("global average pooling does not stand between the last pair and a head without normalisation")
    if any(layer.activation and layer.activation.name == "softmax" for layer in body):
        raise NotAChain("a softmax stands before the head")
    if head.activation and head.activation.name not in (*_OUTPUTS, "linear"):
        raise NotAChain(f"its head ends in {head.activation.name}")


def _check_window(pool: Pool | None, specs: Sequence[ConvSpec], resolution: int | None) -> None:
    """Raises NotAChain where a pooling window does not cover the whole map."""
    if pool is None or pool.height is None:
        return
    if resolution is None:
        raise NotAChain(f"its pooling window has {pool.height} rows, and nothing says how many the map has")
    height = resolution
    for spec in specs:
        reach = spec.dilation[0] * (spec.kernel[0] - 1)
        margin = reach if spec.padding == "same" else 0 if isinstance(spec.padding, str) else spec.padding[0] + spec.padding[1]
        height = (height + margin - reach - 1) // spec.stride[0] + 1
    if height != pool.height:
        raise NotAChain(f"its pooling window has {pool.height} rows, the map {height}: it is not global")


def _spec(layer: _Layer, variables: Mapping[str, Variable]) -> ConvSpec:
    shape = variables[layer.conv.kernel].shape
    if len(shape) != 4:
        raise NotAChain(f"{layer.conv.kernel} has shape {list(shape)}; a kernel has four axes")
    conv, norm = layer.conv, layer.norm
    padding = conv.padding
    if layer.pad is not None:
        if padding != "valid":
            raise NotAChain(f"{conv.kernel} is padded twice, explicitly and by {padding}")
        padding = layer.pad
    spec = ConvSpec(
        out=shape[2] * shape[3] if conv.depthwise else shape[3],
        depthwise=conv.depthwise,
        kernel=(shape[0], shape[1]),
        stride=conv.stride,
        dilation=conv.dilation,
        padding=padding,
        bias=layer.bias is not None,
        epsilon=norm.epsilon if norm else None,
        activation=layer.activation.name if layer.activation else "linear",
        slope=layer.activation.slope if layer.activation else 0.0,
    )
    return replace(spec, scale=norm.gamma is not None, center=norm.beta is not None) if norm else spec


def _bindings(layer: _Layer, name: str, spec: ConvSpec, into: int, variables: Mapping[str, Variable]) -> list[Binding]:
    kernel = variables[layer.conv.kernel]
    shape = (spec.out, 1 if spec.depthwise else into, *spec.kernel)
    layout = Depthwise() if spec.depthwise else Hwio()
    bindings = [Binding(Rule(kernel.name, f"{name}.conv.weight", layout, shape), kernel)]
    norm = layer.norm
    vectors = [(layer.bias.key if layer.bias else None, "conv.bias")]
    if norm:
        vectors += [(norm.gamma, "bn.weight"), (norm.beta, "bn.bias"), (norm.mean, "bn.running_mean"), (norm.variance, "bn.running_var")]
    for key, torch in vectors:
        if key is not None:
            variable = variables[key]
            bindings.append(Binding(Rule(variable.name, f"{name}.{torch}", Squeeze(1), (spec.out,)), variable))
    return bindings
