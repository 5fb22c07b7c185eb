"""A StyleGAN2 network from its parts: sizes from shapes, constants from the graph, a binding for each row of its rule table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from stylexport.common.errors import MappingError
from stylexport.converter.formats.base import Artefact
from stylexport.converter.mapping.network import Network, NotThisNetwork, Recognition, facts
from stylexport.converter.mapping.rules import Binding, Names, Rule, match
from stylexport.converter.mapping.stylegan import graph_constants
from stylexport.torch_models.config import NetworkConfig


@dataclass(frozen=True)
class StyleGAN:
    """What one of the three networks says of itself.

    `present(names)`: whether its variables are there. `sizes(names, where)`: the configuration's fields that shapes tell.
    `constants`: field -> its reader from a graph. `flattens`: whether a dense layer takes a flattened map. `table(config, hwc)`: its
    rules, where the original flattens that map as [h, w, c] (`hwc`) or as [c, h, w].
    """

    config: Callable[..., NetworkConfig]
    present: Callable[[Names], bool]
    sizes: Callable[[Names, str], Mapping[str, object]]
    constants: Mapping[str, graph_constants.Reader]
    table: Callable[[Any, bool], list[Rule]]
    flattens: bool = False

    def recognition(self) -> Recognition:
        """How it is found."""
        return Recognition(self._find, self._read, lambda config: self.table(config, False))

    def _find(self, artefact: Artefact, names: Names) -> Network:
        if not self.present(names):
            raise NotThisNetwork("no variables with its released names")
        return self._read(artefact, names)

    def _read(self, artefact: Artefact, names: Names) -> Network:
        where = str(artefact.path)
        shapes = self.sizes(names, where)
        read, scales, remarks = graph_constants.read(self.constants, artefact.graphs())
        try:
            config = self.config(**shapes, **{field: found.value for field, found in read.items()})
        except ValueError as error:
            raise MappingError(f"{where}: {error}; is this the right network?") from error
        hwc = self.flattens and any(graph_constants.flattens_hwc(graph) for graph in islice(artefact.graphs(), 2))
        bindings = match(self.table(config, hwc), names, where, config.network)
        sources = {**dict.fromkeys(shapes, "shapes"), **{field: f"graph: {found.source}" for field, found in read.items()}}
        if (multiplier := _multiplier(bindings, scales)) is not None:
            config = dataclasses.replace(config, mapping_lr_multiplier=multiplier[0])  # type: ignore[call-arg]
            sources["mapping_lr_multiplier"] = f"graph: coefficient of {multiplier[1]}"
        remarks += _odd_coefficients(bindings, scales, config)
        if hwc:
            remarks.append("b4.fc.weight: the graph flattens [h, w, c] before it; its inputs are reordered to [c, h, w]")
        return Network(config.network, config, bindings, facts(config, sources), remarks)


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
