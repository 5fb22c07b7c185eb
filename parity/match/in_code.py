"""Tensors of the original that the port's own code computes, where no layer of it does: `F.linear(x, self.embedding.weight)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.original import Original
from stylexport.parity.ports import tensors


class Watch(TorchFunctionMode):
    """Shows every tensor that PyTorch's functions give, while it is on, to `see`."""

    def __init__(self, see: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.see = see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function's own result."""
        given = func(*args, **(kwargs or {}))
        for value in tensors(given):
            if value.ndim and value.is_floating_point():
                self.see(value)
        return given


def computed_in_code(
    original: Original, run: Callable[[nn.Module], Mapping[str, Tensor]], module: nn.Module, taps: Sequence[RecordedTap]
) -> frozenset[str]:
    """The tensors of `taps` that some function of the port gives in the chain, within what the chain allows. `run` runs it in float64."""
    found: set[str] = set()

    def see(value: Tensor) -> None:
        for tap in taps:
            compared = None if tap.tensor in found else original.compare(tap, value)
            if compared and compared[0].error <= original.allowed_in_chain(tap):
                found.add(tap.tensor)

    with torch.no_grad(), Watch(see):
        run(module)
    return frozenset(found)
