"""The port's tensors against the original's variables, number by number: what a forward pass may be too coarse to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from parity.original import Original

HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Mismatch:
    """A tensor that is not the original's: how many of its elements differ, and the one that differs most."""

    tensor: str
    differing: int
    elements: int
    index: tuple[int, ...]
    found: float
    expected: float

    @property
    def layer(self) -> str:
        """The module that holds the tensor; the tensor itself where the network does."""
        return self.tensor.rpartition(".")[0] or self.tensor

    def __str__(self) -> str:
        place = f"{self.tensor}[{', '.join(map(str, self.index))}]" if self.index else self.tensor
        return f"{place} is {self.found:.9g}, the original's {self.expected:.9g}; {self.differing} of {self.elements} elements differ"


def mismatches(state: Mapping[str, Tensor], original: Original) -> list[Mismatch]:
    """Every tensor of a state dict that differs from the original's variable, rounded to the dtype in which the port keeps it."""
    found = []
    for name in original.network.weights:
        if name not in state:
            continue
        own, theirs = state[name], original.weight(name)
        theirs = theirs.to(own.dtype)
        if own.shape != theirs.shape:
            found.append(Mismatch(name, own.numel(), own.numel(), (), float("nan"), float("nan")))
        elif not torch.equal(own, theirs) and bool((differs := own != theirs).any()):
            distance = torch.where(differs, (own.double() - theirs.double()).abs().nan_to_num(nan=torch.inf), 0.0)
            index = tuple(int(i) for i in torch.unravel_index(distance.argmax(), own.shape)) if own.ndim else ()
            found.append(Mismatch(name, int(differs.sum()), own.numel(), index, float(own[index]), float(theirs[index])))
    return found


def rounded_to_half(state: Mapping[str, Tensor]) -> bool:
    """Whether the port keeps any of its weights in 16 bits."""
    return any(tensor.dtype in HALF for tensor in state.values())
