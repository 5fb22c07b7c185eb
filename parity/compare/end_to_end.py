"""The layers in the chain: an ordinary forward pass, in which errors are carried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from stylexport.parity.compare.comparison import Comparison, EndToEnd, Layerwise, Match
from stylexport.parity.compare.hooks import Capture, capturing, precision_of
from stylexport.parity.difference import Difference
from stylexport.parity.match.calls import parts
from stylexport.parity.result import Loss
from stylexport.parity.verdict import UNITS


def run_end_to_end(comparison: Comparison, layerwise: Layerwise, module: nn.Module, dtype: torch.dtype) -> EndToEnd:
    """The difference of every call of every layer from S64."""
    original, errors = comparison.original, dict[str, list[Difference | None]]()

    def on_capture(capture: Capture) -> None:
        for match, value in _calls(comparison, layerwise, capture, errors):
            compared = original.compare(match.tap, value) if match else None
            errors.setdefault(capture.site.layer, []).append(compared[0] if compared else None)

    with torch.no_grad(), capturing(module, layerwise.sites, on_capture):
        outputs = comparison.port.run(module, original.inputs(dtype))
    for name, tap in comparison.output_taps.items():
        if name in outputs and (compared := original.compare(tap, outputs[name])):
            errors[comparison.output_layer(name)] = [compared[0]]
    return EndToEnd(errors, outputs)


def losses_in_precision(comparison: Comparison, layerwise: Layerwise, module: nn.Module) -> tuple[Loss, ...]:
    """What each layer alone loses in the comparison's precision, over that format's own rounding unit."""
    original, losses = comparison.original, list[Loss]()
    ran: dict[str, list[None]] = {}

    def on_capture(capture: Capture) -> Tensor | None:
        gave, layer = [], capture.site.layer
        for match, value in _calls(comparison, layerwise, capture, ran):
            ran.setdefault(layer, []).append(None)
            if (compared := original.compare(match.tap, value) if match and not match.reordered else None) is None:
                return None
            error = compared[0].error
            losses.append(Loss(comparison.port.network, layer, error, error / UNITS[comparison.precision]))
            gave.append(compared[1].to(value.dtype))
        return gave[0] if len(gave) == 1 else torch.cat(gave)

    hooks = capturing(module, layerwise.sites, on_capture, trim=comparison.rows is None)
    with torch.no_grad(), precision_of(comparison.precision, original.device), hooks:
        comparison.port.run(module, original.inputs(torch.float32))
    return tuple(losses)


def _calls(
    comparison: Comparison, layerwise: Layerwise, capture: Capture, ran: Mapping[str, Sequence[object]]
) -> list[tuple[Match | None, Tensor]]:
    """The calls in what a module gave, as the layerwise pass numbered them: what it answers for, and its value."""
    layer, samples = capture.site.layer, comparison.original.network.samples
    pieces = parts(capture.value, comparison.calls.get(layer, ()), samples, samples)
    known, first = layerwise.calls.get(layer, ()), len(ran.get(layer, ()))
    return [(known[i] if i < len(known) else None, piece) for i, piece in enumerate(pieces, first)]
