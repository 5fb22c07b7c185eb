"""MobileNetV1 in an artefact: read from its graph, else from Keras's configuration, else from names and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from stylexport.common.errors import MappingError
from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.mapping.classifier import from_graph, from_keras, from_names, mobilenet_rules
from stylexport.converter.mapping.classifier.layer_chain import NotAChain
from stylexport.converter.mapping.network import Network, NotThisNetwork, Recognition, facts
from stylexport.converter.mapping.rules import Binding, Names, check_shape
from stylexport.torch_models.config import MobileNetV1Config

_MOST_OUTPUTS = 8  # outputs of graphs that are tried


class _ByKey(dict[str, Variable]):
    """Variables by key; a key in a graph that the artefact lacks shows that this is not a MobileNetV1."""

    def __missing__(self, key: str) -> Variable:
        raise NotAChain(f"{key!r} is not a variable of the artefact")


def find(artefact: Artefact, names: Names) -> Network:
    """The MobileNetV1 that the variables `names` make. Raises NotThisNetwork with the first reader's reason."""
    others = len(names.variables) < sum(variable.slot is None for variable in artefact.variables)
    if others and not any(v.name.rsplit("/", 1)[-1].startswith("depthwise") for v in names.variables):
        raise NotThisNetwork("no depthwise kernels")
    return _read(artefact, names.variables)


def read(artefact: Artefact, names: Names) -> Network:
    """The MobileNetV1 that all of the artefact's variables make, then with the variables that `names` chooses outright."""
    found = _read(artefact, [variable for variable in artefact.variables if variable.slot is None])
    bindings = [Binding(b.rule, names.chosen.get(b.rule.torch, b.variable)) for b in found.bindings]
    for binding in bindings:
        check_shape(binding, str(artefact.path))
    return dataclasses.replace(found, bindings=bindings)


def _read(artefact: Artefact, variables: Sequence[Variable]) -> Network:
    by_key = _ByKey((v.key, v) for v in variables)
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
            else:
                return _network(artefact, config, bindings, "graph")
        if len(reasons) > _MOST_OUTPUTS:
            break
    if artefact.facts.keras is not None:
        try:
            steps, height = from_keras.read_steps(artefact.facts.keras, variables)
            config, bindings = mobilenet_rules.read(steps, by_key, height)
            return _network(artefact, config, bindings, "Keras's configuration")
        except NotAChain as reason:
            reasons.append(str(reason))
    if reasons and artefact.format != "checkpoint":  # whose graph is a training program's, where it has one
        raise NotAChain(reasons[0])
    return _by_names(artefact, variables, by_key)


def _by_names(artefact: Artefact, variables: Sequence[Variable], by_key: Mapping[str, Variable]) -> Network:
    """A MobileNetV1 by names: in the file's order where the format keeps one, else or where that does not fit in natural order."""
    orders = (False,) if artefact.format in ("checkpoint", "savedmodel") else (True, False)
    reasons: list[NotAChain | MappingError] = []
    for in_file_order in orders:
        try:
            config, bindings = mobilenet_rules.read(from_names.read_steps(variables, in_file_order), by_key, None)
            return _network(artefact, config, bindings, None, [from_names.DEFAULTS])
        except (NotAChain, MappingError) as reason:
            reasons.append(reason)
    raise reasons[0]


def _network(
    artefact: Artefact, config: MobileNetV1Config, bindings: Sequence[Binding], source: str | None, remarks: Sequence[str] = ()
) -> Network:
    """The network, with where each field of its configuration was read: `source` names the reader, None for names and shapes alone."""
    sources = {"labels": "shapes", "image_channels": "shapes", "head_bias": "shapes", "layers": "shapes; the rest: default"}
    if source:
        fields = ("layers", "output", "image_scale", "image_shift", *(["resolution"] if config.resolution else []))
        sources |= dict.fromkeys(fields, source)
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
    return Network(config.network, config, bindings, facts(config, sources), remarks)


RECOGNITION = Recognition(find, read, mobilenet_rules.keras_table)
