"""What is said of a fault: the cause that was found, with what is left of the error, or what is known of one that nothing explains."""

from __future__ import annotations

import torch
from torch import Tensor

from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.explain.hypotheses.code_changes import CodeChange
from stylexport.parity.explain.hypotheses.hypothesis import Hypothesis
from stylexport.parity.explain.hypotheses.tensors import differing, own_tensors
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.result import Fault, Tried

Trials = list[tuple[float, Hypothesis | CodeChange]]  # residual, experiment


def fault_in_words(suspect: Suspect, wrong: Tensor, tried: Trials, found: Hypothesis | CodeChange | None, error: float) -> Fault:
    """The cause that was found among those `tried`, or `unknown` with what is known of `wrong`, the output that nothing explains."""
    place = (suspect.network, suspect.layer)
    if found is None:
        closest = min((residual for residual, _ in tried), default=error)
        remedy = CAUSES["unknown"].remedy
        return Fault(*place, "unknown", _unexplained(suspect, wrong), remedy, error, min(closest, error), _runner_up(tried, "unknown"))
    residual = [residual for residual, item in tried if item is found][-1]
    return Fault(*place, found.cause, found.detail, found.advice, error, residual, _runner_up(tried, found.cause))


def _runner_up(tried: Trials, cause: str) -> Tried | None:
    """The best hypothesis of another cause. One that takes the original's tensors whole is not a rival, because it is always right."""
    others = [(r, n) for n, (r, item) in enumerate(tried) if item.cause != cause and not getattr(item, "replaces", False)]
    if not others:
        return None
    residual, place = min(others)
    return Tried(tried[place][1].cause, residual, tried[place][1].detail)


def _unexplained(suspect: Suspect, wrong: Tensor) -> str:
    """What is known of an error that nothing explains."""
    if not suspect.error(wrong) > suspect.allowed:
        return "the error is at rounding: there is nothing to explain"
    if wrong.shape != suspect.expected.shape:
        return f"the output is {list(wrong.shape)}, the original's {list(suspect.expected.shape)}; no hypothesis explains it"
    bad = int((~wrong.isfinite()).sum())
    if bad:
        return f"{bad} of {wrong.numel()} values are not finite; no hypothesis explains it"
    parts = []
    if any(module.training for module in suspect.module.modules()):
        parts.append("the layer is in training mode: call eval()")
    if suspect.weights:
        names = differing(own_tensors(suspect.module), suspect.weights)
        parts.append(
            f"{', '.join(names)} differ from the original's, and not they alone"
            if names
            else "the layer's tensors are the original's: its code differs, or what stands between it and the layer before"
        )
    if wrong.ndim > 1:
        axes = [axis for axis in range(wrong.ndim) if axis != 1]
        channels = torch.linalg.vector_norm(wrong - suspect.expected, dim=axes)
        worst = int(channels.argmax())
        share = float((channels[worst] / torch.linalg.vector_norm(channels)).square())
        parts.append(f"output channel {worst} holds {share:.0%} of the squared error")
    return "; ".join(["no single hypothesis explains it", *parts])
