"""The original's side of one network: its taps as float64 tensors in the port's layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stylexport.converter.graph.tensor_proto import BFLOAT16
from stylexport.converter.output.recording import RecordedNetwork, RecordedTap, Recording
from stylexport.parity.difference import SAME_TENSOR, Difference, difference, sortable
from stylexport.parity.result import KernelFault
from stylexport.parity.verdict import EXACT, UNIT, allowed_alone, allowed_in_chain, explained_by_rounding
from stylexport.parity.windows import Overlap, nearest_overlap


@dataclass(frozen=True)
class InPart:
    """A port's output against a tap of which it has more or less: how far it is, and the tap in its place in the port's output."""

    difference: Difference
    expected: Tensor
    order: tuple[int, ...]
    overlap: Overlap


STEP = "#"  # between a tensor's name and the number of a step in it
STACK = "|"  # between the names of tensors that are the steps of one
JOIN = "&"  # between the names of tensors whose channels stand one behind the other in one


@dataclass
class Original:
    """A recorded network.

    Remembered by the tap's tensor: `orders`, in which order of axes it is the port's; `parts`, where it and the port's lie over each other,
    for layers that are cut later (with the order of axes).
    """

    recording: Recording
    network: RecordedNetwork
    device: torch.device
    orders: dict[str, tuple[int, ...]] = field(default_factory=dict)
    parts: dict[str, tuple[tuple[int, ...], Overlap]] = field(default_factory=dict)

    @cached_property
    def kernel_faults(self) -> tuple[KernelFault, ...]:
        """The nodes at which the original's own float32 disagrees with its float64 replay by more than rounding explains.

        Those that the recording names, and the first tap whose error shows one: a recording of an earlier version names none.
        """
        found, shown = [], False
        for tap in self.network.taps:
            if tap.kernel_fault:
                found.append(self._kernel_fault(tap, tap.kernel_fault))
            elif not tap.kernel_fault_upstream and not shown and not _is_rounding(tap):
                said = (
                    f"{tap.op} at {tap.node}, or a node before it: the original's own float32 is off by {tap.floor:.2g} from its float64 "
                    f"replay; rounding explains {explained_by_rounding(tap.constants, tap.unit):.2g} at most, unless its terms cancel"
                )
                found.append(self._kernel_fault(tap, said))
                shown = True
        return tuple(found)

    def floor(self, tap: RecordedTap) -> float | None:
        """The rounding floor of a tap; None where the original's float32 is not a measure, at and behind a kernel that is wrong."""
        wrong = tap.kernel_fault or tap.kernel_fault_upstream or not _is_rounding(tap)
        return None if wrong else max(tap.floor, tap.unit)

    def allowed_alone(self, tap: RecordedTap) -> float:
        """What a layer that answers for a tap may be off by alone."""
        return allowed_alone(tap.constants_alone, tap.unit, tap.coarse_constants_alone)

    def allowed_in_chain(self, tap: RecordedTap) -> float:
        """What a layer that answers for a tap may be off by in the chain."""
        floor = self.floor(tap)
        return allowed_in_chain(tap.constants, self.largest_floor if floor is None else floor, tap.unit, tap.coarse_constants)

    @cached_property
    def largest_floor(self) -> float:
        """The largest rounding floor of the network, 2^-24 where no tap has one."""
        return max((floor for tap in self.network.taps if (floor := self.floor(tap)) is not None), default=UNIT)

    @cached_property
    def output_taps(self) -> Mapping[str, RecordedTap]:
        """Output's name -> its tap."""
        return dict(zip(self.network.outputs, (tap for tap in self.network.taps if tap.stage == "output"), strict=False))

    def inputs(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """What went into the network, by name: numbers in `dtype`, integers in int64 and booleans, where the graph takes these, as such."""
        kinds = {name: torch.bool if kind == "bool" else torch.int64 for name, kind in self.network.dtypes.items()}
        return {name: self._tensor(tensor).to(kinds.get(name, dtype)) for name, tensor in self.network.inputs.items()}

    def output(self, name: str) -> Tensor:
        """An output as the original's own float32 gave it; where that is not a measure, as its float64 replay did."""
        tap = self.output_taps.get(name)
        if tap is not None and self.floor(tap) is None:
            return self._exact(tap).to(torch.float32)
        return self._tensor(self.network.outputs[name])

    def weight(self, name: str) -> Tensor:
        """A variable in the layout of the PyTorch tensor `name`, in its own dtype."""
        return self._tensor(self.network.weights[name].tensor)

    def layer_weights(self, layer: str) -> dict[str, Tensor]:
        """The variables of a layer by their names inside it, in float64."""
        prefix = f"{layer}." if layer else ""
        own = [name for name in self.network.weights if name.rpartition(".")[0] == layer]
        return {name.removeprefix(prefix): self.weight(name).to(torch.float64) for name in own}

    def value(self, tap: RecordedTap, like: Sequence[int]) -> Tensor | None:
        """A tap's stored rows in the shape of a port's output `like`; None where no order of axes fits it.

        Where several fit and none was found to be right yet, the first.
        """
        orders = self._orders(tap, like)
        return arranged(self._exact(tap), orders[0], like) if orders else None

    def channels_first(self, tap: RecordedTap) -> Tensor:
        """A tap's stored rows as PyTorch would lay them out, whatever the port's output is."""
        value = self._exact(tap)
        return value.movedim(-1, 1) if tap.layout == "NHWC" else value

    def with_channels(self, tap: RecordedTap, like: Sequence[int]) -> Tensor | None:
        """A tap's stored rows with as many axes and channels as a port's output `like`; None where no order of axes has them."""
        orders = all_orders(len(tap.shape), tap.layout) if len(tap.shape) == len(like) > 1 else []
        fitting = [order for order in orders if tap.shape[order[1]] == like[1]]
        return self.permuted(tap, fitting[0]) if fitting else None

    def sizes(self, tap: RecordedTap, order: Sequence[int]) -> tuple[int, ...]:
        """The sizes of a tap's axes behind the first two, with its axes in another order."""
        return tuple(tap.shape[axis] for axis in order[2:])

    def permuted(self, tap: RecordedTap, order: Sequence[int]) -> Tensor:
        """A tap's stored rows with their axes in another order."""
        return self._exact(tap).permute(*order)

    def same_values(self, tap: RecordedTap, other: RecordedTap) -> bool:
        """Whether two taps are the same tensor: of one shape, and no further apart than rounding."""
        same_shape = (tap.shape, tap.rows) == (other.shape, other.rows)
        return same_shape and difference(self._exact(other), self._exact(tap)).error <= EXACT

    def compare(self, tap: RecordedTap, found: Tensor) -> tuple[Difference, Tensor] | None:
        """How far a port's output is from a tap, over the rows that both have, and all rows of the tap in the port's shape.

        None where the shapes do not fit. The first order of axes that fits is meant (`arrangements`), where the graph tells its layout;
        another that fits is taken where it gives the very values. Where the graph does not tell it, the nearest is. An order that gave the
        very values is remembered.
        """
        orders = self._orders(tap, found.shape)
        if not orders and (part := self.parts.get(tap.tensor)) is not None:
            return self._in_part(tap, found, *part)
        exact = self._exact(tap) if orders else None
        compared: list[tuple[Difference, Tensor]] = []
        for order in orders:
            assert exact is not None
            value = arranged(exact, order, found.shape)
            rows = min(len(value), len(found))
            compared.append((difference(found[:rows], value[:rows]), value))
            if compared[-1][0].error <= SAME_TENSOR:
                self.orders[tap.tensor] = order
                return compared[-1]
        if not compared:
            return self._reshaped(tap, found)
        if exact is not None and (steps_first := _with_steps_first(exact, found)) and steps_first[0].error <= SAME_TENSOR:
            return steps_first
        return compared[0] if tap.layout else min(compared, key=lambda pair: sortable(pair[0].error))

    def compare_in_part(self, tap: RecordedTap, found: Tensor, middle: bool = False) -> InPart | None:
        """The same where a port has more of a tensor than the original, or less, and one of them is cut later: over what both have.

        What is returned in the port's shape is its own value, with the original's in its place: where the two are nearest, or in the
        `middle`. None where neither fits into the other.
        """
        best: InPart | None = None
        for order in all_orders(len(tap.shape), tap.layout):
            theirs = self.permuted(tap, order)
            if theirs.ndim == found.ndim and theirs.shape[1] == found.shape[1] and (overlap := nearest_overlap(found, theirs, middle)):
                compared = self._in_part(tap, found, order, overlap)
                if compared and (best is None or sortable(compared[0].error) < sortable(best.difference.error)):
                    best = InPart(*compared, order, overlap)
        return best

    def _in_part(self, tap: RecordedTap, found: Tensor, order: tuple[int, ...], overlap: Overlap) -> tuple[Difference, Tensor] | None:
        theirs = self.permuted(tap, order)
        if found.ndim != theirs.ndim or not overlap.fits(found.shape, theirs.shape):
            return None
        rows = min(len(found), len(theirs))
        found, theirs = found[:rows], theirs[:rows]
        return difference(overlap.of_ours(found), overlap.of_theirs(theirs)), overlap.put(found, theirs)

    def _reshaped(self, tap: RecordedTap, found: Tensor) -> tuple[Difference, Tensor] | None:
        """A tap whose axes the port splits or joins otherwise, the batch axis too: only where the values are the very same.

        Whatever the values: of a map its last axes joined (the groups of a normalisation); of a sequence [N, T, ...] the steps first, or
        the last axes joined or split (the heads of an attention).
        """
        whole = self._exact(tap)
        if (steps_first := _with_steps_first(whole, found)) is not None:
            return steps_first
        if whole.ndim > found.ndim > 3:
            flat = whole.reshape(*whole.shape[: found.ndim - 1], -1)
            values = [arranged(flat, order, found.shape) for order in arrangements(flat.shape, found.shape, "NHWC")]
            compared = [(difference(found[: len(value)], value[: len(found)]), value) for value in values]
            if compared:
                return min(compared, key=lambda pair: sortable(pair[0].error))
        if min(whole.ndim, found.ndim) > 2 and whole.shape[1] == found.shape[1] and whole[:1].numel() == found[:1].numel():
            value, rows = whole.reshape(len(whole), *found.shape[1:]), min(len(whole), len(found))
            return difference(found[:rows], value[:rows]), value
        for order in _turned(whole.ndim):
            turned = whole.permute(*order)
            if turned[:1].numel() == found[:1].numel():
                value = turned.reshape(len(turned), *found.shape[1:])
            elif turned.numel() == found.numel():
                value = turned.reshape(found.shape)
            else:
                return None
            rows = min(len(value), len(found))
            if (distance := difference(found[:rows], value[:rows])).error <= SAME_TENSOR:
                return distance, value
        return None

    def _orders(self, tap: RecordedTap, like: Sequence[int]) -> list[tuple[int, ...]]:
        """The orders of axes that fit: the one that is remembered, where it is among them, else all."""
        fitting, remembered = arrangements(tap.shape or (1,), like, tap.layout), self.orders.get(tap.tensor)
        return [remembered] if remembered is not None and remembered in fitting else fitting

    def _kernel_fault(self, tap: RecordedTap, said: str) -> KernelFault:
        return KernelFault(self.network.network, tap.layer, tap.node, said, tap.floor)

    def _tensor(self, name: str) -> Tensor:
        value = self.recording.tensor(name).copy()
        if value.dtype == BFLOAT16:  # which PyTorch takes of nobody's arrays
            return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16).to(self.device)
        return torch.from_numpy(value).to(self.device)

    def _exact(self, tap: RecordedTap) -> Tensor:
        if JOIN in tap.tensor:
            pieces = [self.recording.exact(name)[: tap.rows] for name in tap.tensor.split(JOIN)]
            flat = [piece.reshape(*piece.shape[: len(tap.shape) - 1], -1) for piece in pieces] if tap.layout != "NCHW" else pieces
            return torch.from_numpy(np.concatenate(flat, 1 if tap.layout == "NCHW" else -1)).to(self.device)
        tensor, _, step = tap.tensor.partition(STEP)
        values = [self.recording.exact(name) for name in tensor.split(STACK)]
        value = values[0] if len(values) == 1 else np.stack(values, 1)
        return torch.atleast_1d(torch.from_numpy(value[:, int(step)] if step else value).to(self.device))


def _with_steps_first(whole: Tensor, found: Tensor) -> tuple[Difference, Tensor] | None:
    """A sequence [N, T, C] held against a port's [T, N, C], and in its shape; None where the shapes do not fit."""
    if whole.ndim != 3 or found.ndim != 3 or found.shape[1] > len(whole) or (len(found), found.shape[2]) != tuple(whole.shape[1:]):
        return None
    value = whole.transpose(0, 1)[:, : found.shape[1]]
    return difference(found, value), value


def _is_rounding(tap: RecordedTap) -> bool:
    return tap.floor <= explained_by_rounding(tap.constants, tap.unit)


def arrangements(shape: Sequence[int], like: Sequence[int], layout: str) -> list[tuple[int, ...]]:
    """The orders of axes in which a tensor of the graph, `shape`, may be a port's output, `like` (without batch axes and axes of size 1).

    What the graph's own `layout` gives in PyTorch, channels first, comes first; then the graph's own order, channels first, channels last.
    """
    return [order for order in all_orders(len(shape), layout) if _bare([shape[i] for i in order[1:]]) == _bare(like[1:])]


def all_orders(rank: int, layout: str) -> list[tuple[int, ...]]:
    """Those of `arrangements`, whatever fits."""
    same, *turned = _turned(rank)
    known = {"NCHW": (same, *turned[1:]), "NHWC": (*turned[:1], same)}
    return list(dict.fromkeys(known.get(layout, (same, *turned))))


def _turned(rank: int) -> list[tuple[int, ...]]:
    """The orders of axes that are looked for: the same, and of more than two axes the last one second, or the second one last."""
    same = tuple(range(rank))
    return [same, (0, rank - 1, *same[1:-1]), (0, *same[2:], 1)] if rank > 2 else [same]


def arranged(value: Tensor, order: Sequence[int], like: Sequence[int]) -> Tensor:
    """`value` with its axes in `order`, in the shape of `like` (with its own number of rows)."""
    permuted = value.permute(*order) if tuple(order) != tuple(range(value.ndim)) else value
    return permuted.reshape(value.shape[0], *like[1:])


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
