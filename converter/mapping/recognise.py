"""Which networks an artefact holds, told by what it holds; and each one's configuration with where every field came from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from stylexport.common.errors import DamagedFile, MappingError
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.mapping.classifier import from_graph, from_keras, from_names, mobilenet_rules
from stylexport.converter.mapping.classifier.layer_chain import NotAChain
from stylexport.converter.mapping.rules import Binding, Names, Rule, check_shape, match
from stylexport.converter.mapping.stylegan import arithmetic, discriminator_rules, generator_rules
from stylexport.torch_models.config import CONFIGS, DiscriminatorConfig, EncoderConfig, GeneratorConfig, MobileNetV1Config, NetworkConfig

NETWORKS = tuple(CONFIGS)
_PAPER = {
    "generator": "StyleGAN2 (Karras et al. 2020)",
    "encoder": "StyleGAN2 (Karras et al. 2020)",
    "discriminator": "StyleGAN2 (Karras et al. 2020)",
    "classifier": "MobileNetV1 (Howard et al. 2017)",
}


@dataclass(frozen=True)
class Fact:
    """A field of a configuration, its value, and what told it: "shapes", a place in the graph, Keras's configuration, or a default."""

    field: str
    value: Any
    source: str


@dataclass(frozen=True)
class Network:
    """A network found in an artefact: its kind, architecture, and a binding for each of its PyTorch tensors.

    `excused` gives a reason for each variable (by key) that the user's table leaves out.
    """

    network: str
    config: NetworkConfig
    bindings: Sequence[Binding]
    facts: Sequence[Fact]
    remarks: Sequence[str]
    excused: Mapping[str, str] = field(default_factory=dict)


def recognise(artefact: Artefact) -> tuple[list[Network], dict[str, str]]:
    """The networks in `artefact`, and for each other kind why it is none.

    Raises MappingError where one is there but not whole, and DamagedFile where the graph contradicts itself.
    """
    try:
        return _recognise(artefact)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        remedy = "fetch or export it again; if it is whole, report it with the traceback that -v shows"
        raise DamagedFile(artefact.path, f"its graph cannot be followed ({error!r})", remedy) from error


def _recognise(artefact: Artefact) -> tuple[list[Network], dict[str, str]]:
    names, where = Names(artefact.variables), str(artefact.path)
    found: list[Network] = []
    why_not: dict[str, str] = {}
    for kind, (present, read) in _STYLEGAN.items():
        if present(names):
            found.append(read(artefact, names, where))
        else:
            why_not[kind] = "no variables with its released names"
    claimed = {b.variable.key for network in found for b in network.bindings}
    rest = [v for v in artefact.variables if v.slot is None and v.key not in claimed]
    if found and not any(v.name.rsplit("/", 1)[-1].startswith("depthwise") for v in rest):
        why_not["classifier"] = "no depthwise kernels"
        return found, why_not
    try:
        found.append(read_classifier(artefact, rest))
    except NotAChain as reason:
        why_not["classifier"] = str(reason)
    return found, why_not


def read_as(artefact: Artefact, network: str, chosen: Mapping[str, Variable] | None = None, without: Collection[str] = ()) -> Network:
    """`artefact` read as a `network`, whatever else it might be; `chosen` gives the variables of some tensors outright.

    Names are not looked for among the variables whose keys are in `without`. Raises MappingError that says what it lacks.
    """
    names, where = Names((v for v in artefact.variables if v.key not in without), chosen), str(artefact.path)
    if network in _STYLEGAN:
        return _STYLEGAN[network][1](artefact, names, where)
    try:
        found = read_classifier(artefact, [v for v in artefact.variables if v.slot is None])
    except NotAChain as reason:
        raise MappingError(f"{where}: is no MobileNetV1: {reason}; convert another network by --mapping") from reason
    bindings = [Binding(b.rule, names.chosen.get(b.rule.torch, b.variable)) for b in found.bindings]
    for binding in bindings:
        check_shape(binding, where)
    return dataclasses.replace(found, bindings=bindings)


def _read_generator(artefact: Artefact, names: Names, where: str) -> Network:
    fields = generator_rules.read_config(names, where)
    return _stylegan(artefact, names, "generator", GeneratorConfig, fields, lambda config, hwc: generator_rules.table(config))


def _read_trunk(dialect: discriminator_rules.Dialect, network: str, kind: type[NetworkConfig]) -> Callable[[Artefact, Names, str], Network]:
    def read(artefact: Artefact, names: Names, where: str) -> Network:
        fields = discriminator_rules.read_config(names, where, dialect)
        return _stylegan(artefact, names, network, kind, fields, lambda config, hwc: discriminator_rules.table(config, dialect, hwc))

    return read


_STYLEGAN: Mapping[str, tuple[Callable[[Names], bool], Callable[[Artefact, Names, str], Network]]] = {
    "generator": (generator_rules.looks_like, _read_generator),
    "encoder": (
        lambda names: discriminator_rules.looks_like(names, discriminator_rules.ENCODER),
        _read_trunk(discriminator_rules.ENCODER, "encoder", EncoderConfig),
    ),
    "discriminator": (
        lambda names: discriminator_rules.looks_like(names, discriminator_rules.DISCRIMINATOR),
        _read_trunk(discriminator_rules.DISCRIMINATOR, "discriminator", DiscriminatorConfig),
    ),
}


def table(config: NetworkConfig) -> list[Rule]:
    """The rule table of a network by its configuration: what export-tf turns round."""
    if isinstance(config, GeneratorConfig):
        return generator_rules.table(config)
    if isinstance(config, EncoderConfig):
        return discriminator_rules.table(config, discriminator_rules.ENCODER)
    if isinstance(config, DiscriminatorConfig):
        return discriminator_rules.table(config, discriminator_rules.DISCRIMINATOR)
    assert isinstance(config, MobileNetV1Config)
    return mobilenet_rules.keras_table(config)


def _stylegan(
    artefact: Artefact,
    names: Names,
    network: str,
    kind: Any,
    shapes: dict[str, object],
    table: Callable[[Any, bool], list[Rule]],
) -> Network:
    read, scales, remarks = arithmetic.read(network, artefact.graphs())
    try:
        config = kind(**shapes, **{field: found.value for field, found in read.items()})
    except ValueError as error:
        raise MappingError(f"{artefact.path}: {error}; is this the right network?") from error
    hwc = network != "generator" and any(arithmetic.flattens_hwc(graph) for graph in islice(artefact.graphs(), 2))
    bindings = match(table(config, hwc), names, str(artefact.path), network)
    sources = {**dict.fromkeys(shapes, "shapes"), **{field: f"graph: {found.source}" for field, found in read.items()}}
    if network == "generator" and (multiplier := _multiplier(bindings, scales)) is not None:
        config = dataclasses.replace(config, mapping_lr_multiplier=multiplier[0])
        sources["mapping_lr_multiplier"] = f"graph: coefficient of {multiplier[1]}"
    remarks += _odd_coefficients(bindings, scales, config)
    if hwc:
        remarks.append("b4.fc.weight: the graph flattens [h, w, c] before it; its inputs are reordered to [c, h, w]")
    return Network(network, config, bindings, _facts(config, sources), remarks)


def _multiplier(bindings: Sequence[Binding], scales: Mapping[str, float]) -> tuple[float, str] | None:
    """The mapping's learning-rate multiplier: what its first bias is multiplied by, in the shortest decimal that float32 keeps."""
    for binding in bindings:
        if binding.rule.torch == "mapping.fc0.bias" and binding.variable.key in scales:
            return float(str(np.float32(scales[binding.variable.key]))), binding.variable.name
    return None


def _odd_coefficients(bindings: Sequence[Binding], scales: Mapping[str, float], config: NetworkConfig) -> list[str]:
    """A remark for each weight that the graph scales by something else than multiplier / sqrt(fan in)."""
    remarks = []
    for binding in bindings:
        name, shape = binding.rule.torch, binding.rule.shape
        if not name.endswith(".weight") or binding.variable.key not in scales:
            continue
        multiplier = getattr(config, "mapping_lr_multiplier", 1.0) if name.startswith("mapping.") else 1.0
        expected, found = multiplier / math.sqrt(math.prod(shape[1:])), scales[binding.variable.key]
        if abs(found - expected) > 1e-6 * expected:
            remarks.append(
                f"{name}: the graph multiplies {binding.variable.name} by {found:.9g}, StyleGAN2 by {expected:.9g}; verify this layer"
            )
    return remarks


def read_classifier(artefact: Artefact, variables: Sequence[Variable]) -> Network:
    """A MobileNetV1 by graph, else by Keras's configuration, else by names. Raises NotAChain with the first reader's reason."""
    by_key = {v.key: v for v in variables}
    reasons: list[str] = []
    for graph in artefact.graphs():
        if graph.part and reasons:  # a part leaves out what the model does to the image before it, and to the logits behind
            break
        for output in graph.outputs:
            try:
                steps, height = from_graph.read_steps(graph, output)
                config, bindings = mobilenet_rules.read(steps, by_key, height)
            except NotAChain as reason:
                reasons.append(str(reason))
            except KeyError as error:
                reasons.append(f"{error} is no variable of the artefact")
            else:
                return _classifier(artefact, config, bindings, "graph", [])
        if len(reasons) > 8:
            break
    if artefact.facts.keras is not None:
        try:
            steps, height = from_keras.read_steps(artefact.facts.keras, variables)
            config, bindings = mobilenet_rules.read(steps, by_key, height)
            return _classifier(artefact, config, bindings, "Keras's configuration", [])
        except NotAChain as reason:
            reasons.append(str(reason))
    if reasons:
        raise NotAChain(reasons[0])
    return _by_names(artefact, variables, by_key)


def _by_names(artefact: Artefact, variables: Sequence[Variable], by_key: Mapping[str, Variable]) -> Network:
    """A MobileNetV1 by names: in the file's order where the format keeps one, else or where that does not fit in natural order."""
    orders = (False,) if artefact.format in ("checkpoint", "savedmodel") else (True, False)
    reasons: list[NotAChain | MappingError] = []
    for in_file_order in orders:
        try:
            config, bindings = mobilenet_rules.read(from_names.read_steps(variables, in_file_order), by_key, None)
            return _classifier(artefact, config, bindings, None, [from_names.DEFAULTS])
        except (NotAChain, MappingError) as reason:
            reasons.append(reason)
    raise reasons[0]


def _classifier(
    artefact: Artefact, config: MobileNetV1Config, bindings: Sequence[Binding], told_by: str | None, remarks: list[str]
) -> Network:
    sources = {"labels": "shapes", "image_channels": "shapes", "head_bias": "shapes", "layers": "shapes; the rest: default"}
    if told_by:
        fields = ("layers", "output", "image_scale", "image_shift", *(["resolution"] if config.resolution else []))
        sources |= dict.fromkeys(fields, told_by)
    if artefact.facts.keras is not None and (value := from_keras.momentum(artefact.facts.keras)) is not None:
        config = dataclasses.replace(config, momentum=round(1 - value, 12))
        sources["momentum"] = "Keras's configuration (1 minus its momentum)"
    for binding in bindings:
        shape = binding.rule.layout.shape(binding.variable.shape)
        if shape != binding.rule.shape:
            raise MappingError(
                f"{artefact.path}: {binding.variable.name} has shape {list(binding.variable.shape)}, which becomes {list(shape)}, "
                f"but {binding.rule.torch} needs {list(binding.rule.shape)}; is the file whole?"
            )
    return Network("classifier", config, bindings, _facts(config, sources), remarks)


def _facts(config: NetworkConfig, sources: Mapping[str, str]) -> list[Fact]:
    default = f"default: {_PAPER[config.network]}"
    values = config.to_json()
    return [Fact(field, values[field], sources.get(field, default)) for field in values if field != "network"]
