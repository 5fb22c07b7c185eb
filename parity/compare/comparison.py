"""What is compared, and what each pass found of it.

`Comparison` holds the two sides of one network. A pass takes it, with what it needs of earlier passes, and returns its own result;
`stylexport.parity.compare.verify_network` collects them in a `NetworkResult`. All of them are plain values that nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.difference import Difference
from stylexport.parity.explain.suspect import Explain
from stylexport.parity.match.calls import calls_of
from stylexport.parity.original import Original
from stylexport.parity.ports import Outputs, Port, Site
from stylexport.parity.result import Fault, Layer, Loss, Maps
from stylexport.parity.verdict import EXACT

OUTPUT, PARAMETERS, VARIABLE = "output", "parameters", "variable"


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
    def calls(self) -> Mapping[str, list[list[RecordedTap]]]:
        """Layer -> the taps of each call of it in the original."""
        return {layer: calls_of(taps) for layer, taps in self.taps.items()}

    @property
    def output_taps(self) -> Mapping[str, RecordedTap]:
        """Output's name -> its tap."""
        return self.original.output_taps

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
        network = self.original.network
        batches = [tap.rows for tap in network.taps if tap.shape[:1] == (network.samples,)]
        return min(batches, default=1) if network.config is None else None

    def is_variable(self, layer: str) -> bool:
        """Whether a layer is a variable that is itself data, or a tensor that the network itself holds: no module's output is its value."""
        return layer in self.taps and (self.taps[layer][0].stage == VARIABLE or layer in self.original.network.weights)

    def holds_layers(self, layer: str) -> bool:
        """Whether a layer of a custom network holds others, so that its output is hardly the value in which its own tensors went in."""
        return self.original.network.config is None and any(other.startswith(f"{layer}.") for other in self.taps)


@dataclass(frozen=True)
class Match:
    """A call of a layer of the port that answers for a tap of the original: its own error (T64 alone), what that may be, its shape.

    `reordered`: not the layer's own value is the tap's but that of the sum in which it goes (`stylexport.parity.match.other_order`).
    """

    tap: RecordedTap
    error: float
    shape: torch.Size
    allowed: float = EXACT
    reordered: bool = False

    @property
    def fails(self) -> bool:
        """Whether the layer is wrong by itself."""
        return not self.error <= self.allowed


@dataclass(frozen=True)
class Layerwise:
    """Every layer alone.

    `calls`: layer -> what each of its calls in the port answers for, None for one that answers for nothing; `sites` are where the matched
    layers are read; `maps` are those of the first fault; `in_code`: tensors of the original that the port's code computes without a layer.
    """

    calls: Mapping[str, Sequence[Match | None]]
    sites: tuple[Site, ...]
    faults: tuple[Fault, ...]
    maps: Maps | None
    in_code: frozenset[str] = frozenset()

    def matches(self, layer: str) -> list[Match]:
        """What the calls of a layer answer for."""
        return [match for match in self.calls.get(layer, ()) if match is not None]


@dataclass(frozen=True)
class EndToEnd:
    """The layers in the chain: the difference of each call of each layer from S64, and the network's outputs."""

    errors: Mapping[str, Sequence[Difference | None]]
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
