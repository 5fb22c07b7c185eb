"""What is compared, and what each pass found of it.

`Comparison` holds the two sides of one network. A pass takes it, with what it needs of earlier passes, and returns its own result;
`stylexport.parity.compare.verify_network` collects them in a `NetworkResult`. All of them are plain values that nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.difference import Difference
from stylexport.parity.explain.suspect import Explain
from stylexport.parity.original import Original
from stylexport.parity.ports import Outputs, Port, Site
from stylexport.parity.result import Fault, Layer, Loss, Maps

OUTPUT, VARIABLE = "output", "variable"


@dataclass(frozen=True)
class Comparison:
    """A network's port and its original. `explain` names the cause of a layer's fault, `precision` is what T32 is run in."""

    port: Port
    original: Original
    explain: Explain
    precision: str = "fp32"

    @cached_property
    def taps(self) -> Mapping[str, list[RecordedTap]]:
        """Layer -> its taps: one, or one for each stage."""
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
        """Where the layers are read whose names the recording gives."""
        return [site for layer in self.taps if not self.is_variable(layer) and (site := self.port.site(layer))]

    @cached_property
    def rows(self) -> int | None:
        """How many samples every layer of a custom network is fed with in the layerwise pass; None where each layer has its own number.

        A StylEx's layers take one sample or all of them, and the code that joins them is known to work with both; of other networks
        nothing is known.
        """
        return min((tap.rows for tap in self.original.network.taps), default=1) if self.original.network.config is None else None

    def is_variable(self, layer: str) -> bool:
        """Whether a layer is a variable that is itself data."""
        return layer in self.taps and self.taps[layer][0].stage == VARIABLE


@dataclass(frozen=True)
class Match:
    """A layer of the port that was found to answer for a tap of the original: its own error (T64 alone) and its output's shape."""

    tap: RecordedTap
    error: float
    shape: torch.Size


@dataclass(frozen=True)
class Layerwise:
    """Every layer alone. `matches` by layer; `sites` are where the matched layers are read; `maps` are those of the first fault."""

    matches: Mapping[str, Match]
    sites: tuple[Site, ...]
    faults: tuple[Fault, ...]
    maps: Maps | None


@dataclass(frozen=True)
class EndToEnd:
    """The layers in the chain: each one's difference from S64, and the network's outputs."""

    errors: Mapping[str, Difference]
    outputs: Outputs


@dataclass(frozen=True)
class NetworkResult:
    """All that was found of one network.

    `layers` and `faults` stand in the order of execution, `unmatched` names the original's declared tensors without a layer, `outputs`
    are those of the port in the comparison's precision.
    """

    comparison: Comparison
    layers: tuple[Layer, ...] = ()
    faults: tuple[Fault, ...] = ()
    unmatched: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    remarks: tuple[str, ...] = ()
    maps: Maps | None = None
    outputs: Outputs = field(default_factory=dict)

    @property
    def port(self) -> Port:
        """The port's side."""
        return self.comparison.port

    @property
    def original(self) -> Original:
        """The original's side."""
        return self.comparison.original
