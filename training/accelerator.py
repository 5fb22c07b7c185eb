"""The processes, device and precision of a training, by accelerate."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from stylexport.common.errors import BadInput
from stylexport.torch_models.execution import PATIENCE

# MKL's results depend on where arrays lie in memory unless this is set; a run that is resumed must compute the same bytes.
# MKL reads it at its first computation.
REPRODUCIBLE = {"MKL_CBWR": "AUTO,STRICT"}


def open_accelerator(device: str, precision: str = "fp32") -> Accelerator:
    """The processes that `accelerate launch` started, or this one, on `device` ("auto", "cpu", "cuda"), in fp32, fp16 or bf16.

    Raises BadInput where device or precision are not to be had here.

    Example:
        >>> open_accelerator("cpu").num_processes
        1

    """
    for name, value in REPRODUCIBLE.items():
        os.environ.setdefault(name, value)
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: PyTorch sees no GPU here; say --device cpu, or leave it out")
    if precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
        raise BadInput("run.precision: fp16 needs a GPU; bf16 and fp32 run on a CPU")
    patience = InitProcessGroupKwargs(timeout=PATIENCE)  # the main process measures at checkpoints while the others wait
    try:
        return Accelerator(cpu=device == "cpu", mixed_precision={"fp32": "no"}.get(precision, precision), kwargs_handlers=[patience])
    except ValueError as error:
        raise BadInput(f"run.precision: {precision} is not to be had here ({' '.join(str(error).split())})") from error
