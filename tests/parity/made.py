"""Minimal recordings of graphs that are not there: inputs, taps and outputs are tensors that a test computes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedNetwork, RecordedTap, RecordedWeight, Recorder


@dataclass(frozen=True)
class Made:
    """A tensor of the original: the layer that answers for it, its value in float64, and what a recording says of it."""

    layer: str
    value: Tensor
    stage: str = "parameters"
    op: str = "BiasAdd"
    declared: bool = True
    layout: str = ""
    constants: int = 0


def made(
    path: Path, inputs: Mapping[str, Tensor], taps: Sequence[Made], outputs: Mapping[str, Tensor], weights: nn.Module | None = None
) -> Path:
    """A recording of a network `mine`: `taps` in the order of execution, `outputs` behind them. `weights` holds the variables."""
    outs = [Made("output", value, "output", "Identity") for value in outputs.values()]
    with Recorder(path) as recorder:
        recorded = [
            RecordedTap(
                tap.layer,
                tap.stage,
                tap.declared,
                tap.layer or f"node{i}",
                f"node{i}",
                tap.op,
                tap.layout,
                tuple(tap.value.shape),
                len(tap.value),
                tap.constants,
                6e-8,
                1e-7,
                recorder.add_exact(f"mine/taps/{i}", tap.value.double().numpy()),
            )
            for i, tap in enumerate([*taps, *outs])
        ]
        network = RecordedNetwork(
            "mine",
            {},
            None,
            len(next(iter(inputs.values()))),
            {name: recorder.add(f"mine/inputs/{name}", value.float().numpy()) for name, value in inputs.items()},
            dict.fromkeys(inputs, ""),
            {name: recorder.add(f"mine/outputs/{name}", value.float().numpy()) for name, value in outputs.items()},
            tuple(recorded),
            {
                name: RecordedWeight(name, recorder.add(f"mine/weights/{name}", value.numpy()), True)
                for name, value in (weights.state_dict() if weights else {}).items()
            },
        )
        recorder.finish({"mine": network})
    return path


def drawn(*shape: int, seed: int = 1) -> Tensor:
    """Values that float32 holds, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()
