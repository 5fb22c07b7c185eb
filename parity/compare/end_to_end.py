"""The layers in the chain: an ordinary forward pass, in which errors are carried on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylexport.parity.compare.hooks import Sight, precision_of, watched
from stylexport.parity.comparison import Case
from stylexport.parity.result import Loss
from stylexport.parity.verdict import UNITS, Difference


def in_chain(case: Case, module: nn.Module, dtype: torch.dtype) -> dict[str, Difference]:
    """Every layer's difference from S64; of a layer that runs more than once, the largest. Keeps float32's outputs in the case."""
    found: dict[str, Difference] = {}

    def seen(sight: Sight) -> None:
        layer = sight.site.layer
        if layer in case.chosen and (compared := case.original.compare(case.chosen[layer], sight.value)):
            before = found.get(layer)
            found[layer] = compared[0] if before is None or not compared[0].error <= before.error else before

    with torch.no_grad(), watched(module, case.answered_sites(), seen):
        outputs = case.port.run(module, case.original.inputs(dtype))
    for name, tap in case.output_taps.items():
        if name in outputs and (compared := case.original.compare(tap, outputs[name])):
            found[case.output_layer(name)] = compared[0]
    if dtype == torch.float32:
        case.outputs = outputs
    return found


def in_precision(case: Case, module: nn.Module) -> list[Loss]:
    """What each layer alone loses in the case's precision, over that format's own rounding unit."""
    unit, losses = UNITS[case.precision], []

    def seen(sight: Sight) -> Tensor | None:
        layer = sight.site.layer
        if layer not in case.chosen or not (compared := case.original.compare(case.chosen[layer], sight.value)):
            return None
        losses.append(Loss(case.port.network, layer, compared[0].error, compared[0].error / unit))
        return compared[1].to(sight.value.dtype)

    with torch.no_grad(), precision_of(case.precision, case.original.device), watched(module, case.answered_sites(), seen, trim=True):
        case.port.run(module, case.original.inputs(torch.float32))
    return losses
