"""Layers whose value is none of the original's although their sum is: the port adds the terms of a sum in another order.

An original that computes `(x + a @ w) + b` has no tensor `a @ w + b`, which a port's layer gives; one that adds the bias first has no
tensor that a layer gives which takes `x` too. Such a layer is no fault where the sum itself is a value of the port: every tensor that the
port's code makes once the layer has run is looked at, in an ordinary forward pass, in which whatever differed before differs there too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.match.in_code import Watch
from stylexport.parity.original import Original
from stylexport.parity.ports import tensors

NEARER = 1e-3  # a sum's error is at most this part of the layer's own


@dataclass(frozen=True)
class Sum:
    """Where a layer's sum was found: its tap, and how far the port's sum is from it in the chain in float64."""

    tap: RecordedTap
    error: float


def other_orders(
    original: Original,
    run: Callable[[nn.Module], Mapping[str, Tensor]],
    module: nn.Module,
    layers: Mapping[str, Sequence[RecordedTap]],
    errors: Mapping[str, float],
) -> dict[str, Sum]:
    """Layer -> its sum, for those of `layers` (layer -> its taps) whose sum the port computes. `run` runs the port in float64.

    `errors` are the layers' own. A sum that is hardly nearer is no sum: it may be the layer's value again, carried on by other code.
    """
    search = _Search(original, layers, errors)
    handles = [module.get_submodule(layer).register_forward_hook(search.after(layer)) for layer in layers]
    try:
        with torch.no_grad(), Watch(search.see):
            run(module)
    finally:
        for handle in handles:
            handle.remove()
    return search.found


class _Search:
    """What was found so far: of the layers that ran, in the tensors that came behind them."""

    def __init__(self, original: Original, layers: Mapping[str, Sequence[RecordedTap]], errors: Mapping[str, float]) -> None:
        self.original, self.layers, self.errors = original, layers, errors
        self.ran: set[str] = set()
        self.found: dict[str, Sum] = {}

    def see(self, value: Tensor) -> None:
        """Looks at a tensor of the port's code."""
        for layer in self.ran - self.found.keys():
            self._look(layer, self.layers[layer], value)

    def after(self, layer: str) -> Callable[[nn.Module, Any, Any], None]:
        """A hook that looks at what the layer itself gave, which may be a sum behind its own; from then on its own sum is looked for."""
        taps = self.original.network.taps
        first = min(taps.index(tap) for tap in self.layers[layer])
        joins = [tap for tap in taps[first:] if tap.stage == "join" and not tap.declared and not tap.layer]

        def hook(module: nn.Module, args: Any, output: Any) -> None:
            for value in tensors(output):
                if value.ndim and value.is_floating_point():
                    self._look(layer, joins, value)
            self.ran.add(layer)

        return hook

    def _look(self, layer: str, taps: Sequence[RecordedTap], value: Tensor) -> None:
        for tap in taps:
            if tap.shape[1:].count(0) or value.numel() * tap.shape[0] != len(value) * torch.Size(tap.shape).numel():
                continue
            compared = self.original.compare(tap, value)
            if compared and compared[0].error <= min(self.original.allowed_in_chain(tap), NEARER * self.errors[layer]):
                self.found.setdefault(layer, Sum(tap, compared[0].error))
