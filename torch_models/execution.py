"""Where and how a run computes: device, precision, compilation, and the processes that share it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from stylexport.torch_models.generator import Generator

PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}
# The slowest process may be so far behind when the others are done.
PATIENCE = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """The processes that share a run: this one's number of how many, its device, and a call that waits for all."""

    number: int
    count: int
    device: str
    wait: Callable[[], None]

    @property
    def main(self) -> bool:
        """Whether this process begins and finishes the run."""
        return self.number == 0


def processes(device: str) -> Processes:
    """Those that `accelerate launch` (or torchrun) started; one, on `device`, where nobody did. "cuda" is then each one's own GPU."""
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return Processes(0, 1, device, lambda: None)
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    return Processes(state.process_index, state.num_processes, str(state.device), state.wait_for_everyone)


def computing(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Autocast to 16 bits for `fp16` and `bf16`; for `fp32` nothing, and GPU convolutions in full float32 (no TF32)."""
    dtype = PRECISIONS[precision]
    if dtype is None:
        torch.backends.cudnn.allow_tf32 = False
        return nullcontext()
    return torch.autocast(device.type, dtype)


def compile_networks(generator: Generator, classifier: nn.Module) -> None:
    """Compiles the generator's blocks and the classifier in place, for batches of any size."""
    synthesis = generator.synthesis
    for name in synthesis.blocks:
        getattr(synthesis, name).compile(dynamic=True)
    classifier.compile(dynamic=True)
