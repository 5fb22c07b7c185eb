"""The layers in the chain: an ordinary forward pass, in which errors are carried on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylexport.parity.compare.comparison import Comparison, EndToEnd, Layerwise
from stylexport.parity.compare.hooks import Capture, capturing, precision_of
from stylexport.parity.difference import Difference
from stylexport.parity.result import Loss
from stylexport.parity.verdict import UNITS


def run_end_to_end(comparison: Comparison, layerwise: Layerwise, module: nn.Module, dtype: torch.dtype) -> EndToEnd:
    """Every layer's difference from S64; of a layer that runs more than once, the largest."""
    original, errors = comparison.original, dict[str, Difference]()

    def on_capture(capture: Capture) -> None:
        layer = capture.site.layer
        if layer in layerwise.matches and (compared := original.compare(layerwise.matches[layer].tap, capture.value)):
            before = errors.get(layer)
            errors[layer] = compared[0] if before is None or not compared[0].error <= before.error else before

    with torch.no_grad(), capturing(module, layerwise.sites, on_capture):
        outputs = comparison.port.run(module, original.inputs(dtype))
    for name, tap in comparison.output_taps.items():
        if name in outputs and (compared := original.compare(tap, outputs[name])):
            errors[comparison.output_layer(name)] = compared[0]
    return EndToEnd(errors, outputs)


def losses_in_precision(comparison: Comparison, layerwise: Layerwise, module: nn.Module) -> tuple[Loss, ...]:
    """What each layer alone loses in the comparison's precision, over that format's own rounding unit."""
    original, losses = comparison.original, list[Loss]()

    def on_capture(capture: Capture) -> Tensor | None:
        layer = capture.site.layer
        if layer not in layerwise.matches or not (compared := original.compare(layerwise.matches[layer].tap, capture.value)):
            return None
        error = compared[0].error
        losses.append(Loss(comparison.port.network, layer, error, error / UNITS[comparison.precision]))
        return compared[1].to(capture.value.dtype)

    hooks = capturing(module, layerwise.sites, on_capture, trim=True)
    with torch.no_grad(), precision_of(comparison.precision, original.device), hooks:
        comparison.port.run(module, original.inputs(torch.float32))
    return tuple(losses)
