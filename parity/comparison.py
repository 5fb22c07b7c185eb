"""One network on trial: a port, an original, and what has been found so far. The passes fill it, `stylexport.parity.compare.conclude`
reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.original import Original
from stylexport.parity.ports import Outputs, Port, Site
from stylexport.parity.result import Fault, Layer, Loss, Maps

OUTPUT, VARIABLE = "output", "variable"
Explain = Callable[[Suspect], Fault]


@dataclass
class Case:
    """`explain` names the cause of a layer's fault.

    By layer: `chosen` is the tap that it answers for, `alone` its own error, `shapes` the shape of its output. `handed_on` is the layer
    judged last, with the original's value of it. `outputs` are those of the port in `precision`, `maps` those of its first fault.
    `layers` and `unmatched` come last.
    """

    port: Port
    original: Original
    explain: Explain
    precision: str = "fp32"
    chosen: dict[str, RecordedTap] = field(default_factory=dict)
    alone: dict[str, float] = field(default_factory=dict)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    outputs: Outputs = field(default_factory=dict)
    maps: Maps | None = None
    handed_on: tuple[str, Tensor] = field(default_factory=lambda: ("", torch.empty(0)))
    layers: list[Layer] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)

    @cached_property
    def taps(self) -> Mapping[str, list[RecordedTap]]:
        """Layer -> its taps: one, or a stage each."""
        found: dict[str, list[RecordedTap]] = {}
        for tap in self.original.network.taps:
            if tap.stage != OUTPUT and tap.layer:
                found.setdefault(tap.layer, []).append(tap)
        return found

    @cached_property
    def output_taps(self) -> Mapping[str, RecordedTap]:
        """Output's name -> its tap."""
        return dict(zip(self.original.network.outputs, (t for t in self.original.network.taps if t.stage == OUTPUT), strict=False))

    def output_layer(self, name: str) -> str:
        """What an output is called among the layers: "output", with its name where there are several."""
        return OUTPUT if len(self.output_taps) == 1 else f"{OUTPUT}.{name}"

    @cached_property
    def sites(self) -> list[Site]:
        """Where the layers that names tell are seen."""
        return [site for layer in self.taps if not self.is_variable(layer) and (site := self.port.site(layer))]

    @cached_property
    def rows(self) -> int | None:
        """How many rows every layer of a user's own network is fed with alone; None where each layer has its own number.

        A StylEx's layers take one sample or all of them, and what joins them is known to bear it; of others nothing is known.
        """
        return min((tap.rows for tap in self.original.network.taps), default=1) if self.original.network.config is None else None

    def is_variable(self, layer: str) -> bool:
        """Whether a layer is a variable that is itself data."""
        return layer in self.taps and self.taps[layer][0].stage == VARIABLE

    def answered_sites(self) -> list[Site]:
        """Where the layers that were found are seen, those that values told included."""
        named = {site.layer for site in self.sites} | set(self.taps)
        by_value = (layer for layer, tap in self.chosen.items() if layer not in named and tap.stage != OUTPUT)
        return [*self.sites, *(Site(layer, layer) for layer in by_value)]
