"""One network's proof: alone in float64, then in the chain in float64 and in float32 (DESIGN, "Rules of the proof")."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stylexport.parity.compare.conclude import conclude
from stylexport.parity.compare.config_fields import other_settings
from stylexport.parity.compare.end_to_end import in_chain, in_precision
from stylexport.parity.compare.hooks import precision_of
from stylexport.parity.compare.layerwise import judge_alone
from stylexport.parity.compare.weight_values import Mismatch, mismatches, of_another_release, rounded_to_half
from stylexport.parity.comparison import Case


def prove(case: Case) -> Case:
    """The case with everything that can be said of it."""
    state = case.port.module.state_dict()
    wrong = mismatches(state, case.original)
    case.remarks += filter(None, [of_another_release(wrong, case.original)])
    case.remarks += [f"{case.port.network}: {other}" for other in other_settings(case.port.config, case.original.network.config)]
    exact = _exact(case, state, wrong)
    judge_alone(case, exact)
    error64 = in_chain(case, exact, torch.float64)
    del exact
    single = case.port.module.to(case.original.device)
    with precision_of(case.precision, case.original.device):
        error32 = in_chain(case, single, torch.float32)
    if case.precision != "fp32":
        case.losses = in_precision(case, single)
    conclude(case, error64, error32, wrong)
    return case


def _exact(case: Case, state: Mapping[str, Tensor], wrong: list[Mismatch]) -> nn.Module:
    """The port in float64. One that keeps the right weights in 16 bits is the same function poorly stored: it gets all their bits."""
    original = case.original
    module = copy.deepcopy(case.port.module).to(original.device, torch.float64)
    for part in module.modules():
        if hasattr(part, "inplace"):  # what came into a layer must still be there when it is judged
            setattr(part, "inplace", False)  # noqa: B010
    if rounded_to_half(state) and not wrong:
        case.remarks.append(f"{case.port.network}: its weights are kept in 16 bits; float64 was run with the original's")
        weights = {name: original.weight(name).to(torch.float64) for name in original.network.weights}
        module.load_state_dict(weights, strict=False)
    return module
