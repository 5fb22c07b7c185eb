"""One network's proof: each layer alone in float64, then the chain in float64 and in float32 (DESIGN.md, "Rules of the proof")."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stylexport.parity.compare.comparison import Comparison, NetworkResult
from stylexport.parity.compare.conclude import conclude
from stylexport.parity.compare.config_fields import other_settings
from stylexport.parity.compare.end_to_end import losses_in_precision, run_end_to_end
from stylexport.parity.compare.hooks import precision_of
from stylexport.parity.compare.layerwise import run_layerwise
from stylexport.parity.compare.weight_values import mismatches, of_another_release, rounded_to_half
from stylexport.parity.match.recurrent import as_given


def verify_network(comparison: Comparison) -> NetworkResult:
    """Everything that can be said of one network. Raises what its module raises on the recorded inputs."""
    port, original = comparison.port, comparison.original
    state = port.module.state_dict()
    wrong = mismatches(state, original)
    remarks = [of_another_release(wrong, original)]
    remarks += [f"{port.network}: {other}" for other in other_settings(port.config, original.network.config)]
    exact = _in_float64(port.module, original.device)
    if rounded_to_half(state) and not wrong:
        remarks.append(f"{port.network}: its weights are kept in 16 bits; float64 was run with the original's")
        exact.load_state_dict(_original_weights(comparison), strict=False)
    port, original = as_given(port, original, exact, comparison.rows)
    comparison = dataclasses.replace(comparison, port=port, original=original)
    layerwise = run_layerwise(comparison, exact)
    double = run_end_to_end(comparison, layerwise, exact, torch.float64)
    del exact
    module = port.module.to(original.device)
    with precision_of(comparison.precision, original.device):
        single = run_end_to_end(comparison, layerwise, module, torch.float32)
    losses = losses_in_precision(comparison, layerwise, module) if comparison.precision != "fp32" else ()
    found = conclude(comparison, layerwise, double, single, losses, wrong)
    said = tuple(remark for remark in (*port.remarks, *remarks, *found.remarks) if remark)
    return NetworkResult(comparison, found.layers, found.faults, found.unmatched, losses, said, layerwise.maps, single.outputs)


def _in_float64(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy in float64 whose layers keep their inputs, which are needed when a layer is judged."""
    module = copy.deepcopy(module).to(device, torch.float64)
    for part in module.modules():
        if hasattr(part, "inplace"):
            setattr(part, "inplace", False)  # noqa: B010
        for name, value in vars(part).items():  # constants that are no buffers
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(part, name, value.to(device, torch.float64))
    return module


def _original_weights(comparison: Comparison) -> Mapping[str, Tensor]:
    """All bits of the right weights: a port that keeps them in 16 bits is the same function, poorly stored."""
    return {name: comparison.original.weight(name).to(torch.float64) for name in comparison.original.network.weights}
