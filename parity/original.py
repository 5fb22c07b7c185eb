"""The original's side of one network: its taps as float64 tensors in the port's layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from stylexport.converter.output.recording import RecordedNetwork, RecordedTap, Recording
from stylexport.parity.verdict import Difference, arranged, arrangements, difference


@dataclass
class Original:
    """A recorded network. `orders` remembers, by the tap's tensor, in which order of axes it is the port's."""

    recording: Recording
    network: RecordedNetwork
    device: torch.device
    orders: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def inputs(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """What went into the network, by name."""
        return {name: self._tensor(tensor).to(dtype) for name, tensor in self.network.inputs.items()}

    def output(self, name: str) -> Tensor:
        """An output as the original's own float32 gave it."""
        return self._tensor(self.network.outputs[name])

    def weight(self, name: str) -> Tensor:
        """A variable in the layout of the PyTorch tensor `name`, in its own dtype."""
        return self._tensor(self.network.weights[name].tensor)

    def layer_weights(self, layer: str) -> dict[str, Tensor]:
        """The variables of a layer by their names inside it, in float64."""
        prefix = f"{layer}." if layer else ""
        own = [name for name in self.network.weights if name.rpartition(".")[0] == layer]
        return {name.removeprefix(prefix): self.weight(name).to(torch.float64) for name in own}

    def value(self, tap: RecordedTap, like: Sequence[int]) -> Tensor | None:
        """A tap's stored rows in the shape of a port's output `like`; None where no order of axes fits it.

        Where several fit and none was found to be right yet, the first.
        """
        orders = [self.orders[tap.tensor]] if tap.tensor in self.orders else arrangements(tap.shape, like, tap.layout)
        return arranged(self._exact(tap), orders[0], like) if orders else None

    def compare(self, tap: RecordedTap, found: Tensor) -> tuple[Difference, Tensor] | None:
        """How far a port's output is from a tap, over the rows that both have, and all rows of the tap in the port's shape.

        None where the shapes do not fit. Of several orders of axes that fit, the nearest is taken and remembered.
        """
        orders = [self.orders[tap.tensor]] if tap.tensor in self.orders else arrangements(tap.shape, found.shape, tap.layout)
        best: tuple[Difference, Tensor] | None = None
        exact = self._exact(tap) if orders else None
        for order in orders:
            assert exact is not None
            value = arranged(exact, order, found.shape)
            rows = min(len(value), len(found))
            distance = difference(found[:rows], value[:rows])
            if best is None or distance.error < best[0].error:
                best, self.orders[tap.tensor] = (distance, value), order
        return best

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.recording.tensor(name).copy()).to(self.device)

    def _exact(self, tap: RecordedTap) -> Tensor:
        return torch.from_numpy(self.recording.exact(tap.tensor)).to(self.device)
