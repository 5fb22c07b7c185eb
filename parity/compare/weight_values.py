"""The port's tensors against the original's variables, number by number: what a forward pass may be too coarse to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylexport.parity.original import Original

UNRELATED = "weight_value"
# So many tensors, and such a share of a network's, differ from the original's so far that no single mistake and no rounding explains it.
MANY, MOST, FAR = 8, 0.8, 0.05
HALF = (torch.float16, torch.bfloat16)


# What a tensor may be instead of the original's: cause, the original's as it then is. The first that holds is meant.
RELATIONS: tuple[tuple[str, Callable[[Tensor], Tensor | None]], ...] = (
    ("kernel_flipped", lambda w: w.flip(2, 3) if w.ndim == 4 else None),
    ("kernel_transposed_hw", lambda w: w.transpose(2, 3) if w.ndim == 4 else None),
    ("in_out_swapped", lambda w: w.transpose(0, 1) if w.ndim > 1 else None),
    ("noise", lambda w: w.t() if w.ndim == 2 and w.shape[0] == w.shape[1] else None),
)


@dataclass(frozen=True)
class Mismatch:
    """A tensor that is not the original's: how it is related, how many of its elements differ, and the one that differs most."""

    cause: str
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
            found.append(Mismatch(UNRELATED, name, own.numel(), own.numel(), (), float("nan"), float("nan")))
        elif not torch.equal(own, theirs) and bool((differs := own != theirs).any()):
            distance = torch.where(differs, (own.double() - theirs.double()).abs().nan_to_num(nan=torch.inf), 0.0)
            index = tuple(int(i) for i in torch.unravel_index(distance.argmax(), own.shape)) if own.ndim else ()
            count, cause = int(differs.sum()), _relation(name, own, theirs)
            found.append(Mismatch(cause, name, count, own.numel(), index, float(own[index]), float(theirs[index])))
    return found


def _relation(name: str, own: Tensor, theirs: Tensor) -> str:
    """The cause that the two tensors alone show, where no pass can."""
    last = name.rpartition(".")[2]
    for cause, change in RELATIONS:
        other = change(theirs)
        if other is not None and other.shape == own.shape and torch.equal(own, other) and (cause == "noise") == (last == "noise_const"):
            return cause
    if last == "bias" and not own.any():
        return "bias_missing"
    return "noise" if last.startswith("noise_") else UNRELATED


def of_another_release(wrong: Sequence[Mismatch], original: Original) -> str | None:
    """A remark where hardly a tensor is the original's: then the recording and the port are of two releases."""
    name, all_of_them = original.network.network, len(original.network.weights)
    far = [m for m in wrong if not abs(m.found - m.expected) <= FAR * abs(m.expected)]
    if len(far) < max(MANY, MOST * all_of_them):
        return None
    return (
        f"{name}: {len(far)} of its {all_of_them} tensors hold other values than the recorded ones; the recording may be of another "
        "release: compare the sha256 in conversion.json with the recording's"
    )


def rounded_to_half(state: Mapping[str, Tensor]) -> bool:
    """Whether the port keeps any of its weights in 16 bits."""
    return any(tensor.dtype in HALF for tensor in state.values())
