"""A network that was found in an artefact, and what the converter knows of each kind: how to recognise it, and its rule table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stylexport.converter.formats.base import Artefact
from stylexport.converter.mapping.parts import Filled
from stylexport.converter.mapping.rules import Binding, Names, Rule
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import NetworkKind, kind_of


class NotThisNetwork(Exception):
    """The artefact does not hold the network that was looked for. The message says why."""


@dataclass(frozen=True)
class Fact:
    """A field of a configuration, its value, and where it was read: "shapes", a place in the graph, Keras's configuration, a default."""

    field: str
    value: Any
    source: str


@dataclass(frozen=True)
class Network:
    """A network found in an artefact: its role, configuration, and a binding for each of its PyTorch tensors.

    `excused` gives a reason for each variable (by key) that the user's table leaves out, `filled` the tensors that no variable gives.
    """

    network: str
    config: NetworkConfig
    bindings: Sequence[Binding]
    facts: Sequence[Fact]
    remarks: Sequence[str] = ()
    excused: Mapping[str, str] = field(default_factory=dict)
    filled: Sequence[Filled] = ()

    @property
    def kind(self) -> NetworkKind | None:
        """What is known of it; None of a network that only its user knows."""
        return kind_of(self.config)


@dataclass(frozen=True)
class Recognition:
    """How a known network is found (`NetworkKind.recognition`).

    `find(artefact, names)` returns the network in `names`, the variables that no other network took; it raises NotThisNetwork where
    they do not, and MappingError where it is there but not whole. `read` does not look first whether it is there, and takes the variables
    that `names` chooses for some tensors.
    `table(config)` returns a rule for each of its tensors, under the names that `export-tf` writes.
    """

    find: Callable[[Artefact, Names], Network]
    read: Callable[[Artefact, Names], Network]
    table: Callable[[Any], list[Rule]]


def facts(config: NetworkConfig, sources: Mapping[str, str]) -> list[Fact]:
    """Every field of a known network's configuration with its source; a field without one is a default of the paper's."""
    kind = kind_of(config)
    assert kind is not None, config
    values = config.to_json()
    return [Fact(name, value, sources.get(name, f"default: {kind.source}")) for name, value in values.items() if name not in _NAMES]


_NAMES = ("network", "architecture")
