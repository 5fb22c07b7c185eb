"""A known network whose variables have other names: a user's table gives each the name that the network's own rules know it by."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping

from stylexport.converter.formats.base import Artefact, Variable
from stylexport.converter.mapping.network import Network, Recognition
from stylexport.converter.mapping.rules import Binding, Names, Rule
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import NetworkKind

_BLOCK = re.compile(r"(?:^|\.)b(\d+)\.")
_MAPPING = re.compile(r"mapping\.fc(\d+)\.weight")


def read_renamed(
    kind: NetworkKind, look: Recognition, artefact: Artefact, chosen: Mapping[str, Variable], without: Collection[str]
) -> Network | None:
    """`artefact` read as this network, the `chosen` variables (by the names of their tensors) under the names of its rules.

    None where the names of the tensors do not tell which rules these are. Raises MappingError where it lacks others.
    """
    rules = [rule for rule in _rules(kind, look, chosen) if rule.torch in chosen]
    known = {chosen[rule.torch].key: rule.tf.replace("*", "") for rule in rules}
    if not known:
        return None
    originals = {variable.key: variable for variable in artefact.variables}
    renamed = [dataclasses.replace(v, name=known[v.key], slot=None) for v in artefact.variables if v.key in known]
    others = [v for v in artefact.variables if v.key not in known and v.key not in without]
    given = {torch: variable for torch, variable in chosen.items() if variable.key not in known}
    network = look.read(artefact, Names([*renamed, *others], given))
    bindings = [
        Binding(dataclasses.replace(b.rule, tf=originals[b.variable.key].name), originals[b.variable.key]) for b in network.bindings
    ]
    return dataclasses.replace(network, bindings=bindings)


def _rules(kind: NetworkKind, look: Recognition, torch_names: Collection[str]) -> list[Rule]:
    """The network's rules, of the size that the names of its tensors tell; none where they do not."""
    blocks = [int(number) for name in torch_names if (found := _BLOCK.search(name)) for number in found.groups()]
    resolution = max(blocks, default=0)
    if resolution < 4 or resolution & (resolution - 1) or resolution > 2**14:
        return []
    layers = [int(found.group(1)) for name in torch_names if (found := _MAPPING.fullmatch(name))]
    fields: dict[str, object] = {"resolution": resolution, "channels": (1,) * (resolution.bit_length() - 2)}
    if layers:
        fields["mapping_layers"] = max(layers) + 1
    known = {field.name for field in dataclasses.fields(kind.config)}
    if not fields.keys() <= known or len(layers) > 1000:
        return []
    config: NetworkConfig = kind.config(**fields)
    return look.table(config)
