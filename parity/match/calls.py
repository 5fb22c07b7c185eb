"""Which call of a layer in the original a call in the port answers for.

A layer may run more than once: a layer that two branches share, a cell in a loop. The original's calls are numbered in the order of its
graph (`calls_of`), the port's in the order in which they run. Call k of the port is held against call k of the original. Where its value is
not that one but another call's, it is that other call: another order of calls is no fault. A value that is none of the original's is
judged against call k; where call k is taken, or another call that waits for an answer is far nearer, against that one. A call of the port
beyond the last, whose value is none of the original's, answers for nothing.

A port that runs a layer once on several batches, one behind the other, has made that many calls (`parts`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.difference import SAME_TENSOR, Difference, sortable

FAR_NEARER = 0.1  # an error that is less than this part of another's
# What an activation can give, by its operation.
RANGES = {
    "Relu": (0.0, math.inf),
    "Relu6": (0.0, 6.0),
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Softplus": (0.0, math.inf),
    "Tanh": (-1.0, 1.0),
}

Calls = Sequence[Sequence[RecordedTap]]
Compare = Callable[[RecordedTap, Tensor], tuple[Difference, Tensor] | None]


@dataclass(frozen=True)
class Answer:
    """The tap that a value is held against, of call `call` (0 where a layer has one): how far it is, and the tap in the value's shape."""

    call: int
    tap: RecordedTap
    difference: Difference
    expected: Tensor

    @property
    def error(self) -> float:
        """The relative error, infinite where it is not a number."""
        return sortable(self.difference.error)


def calls_of(taps: Sequence[RecordedTap]) -> list[list[RecordedTap]]:
    """The taps of one layer by its calls, in order: a stage that a call has already belongs to another call."""
    calls: list[list[RecordedTap]] = []
    for tap in taps:
        waiting = [call for call in calls if all(other.stage != tap.stage for other in call)]
        if waiting:
            waiting[-1].append(tap)
        else:
            calls.append([tap])
    return calls


def answer(
    calls: Calls, taken: Collection[int], number: int, value: Tensor, module: nn.Module, compare: Compare, search: bool = True
) -> Answer | None:
    """What call `number` of a layer in the port, which gave `value`, answers for; None where no call fits or none is left.

    `taken` are the calls of the original that earlier ones answered for. Without `search` no other call's value is looked for.
    """
    own = [number] if number < len(calls) else []
    others = sorted((call for call in range(len(calls)) if call not in own), key=lambda call: call in taken)
    found: dict[int, Answer] = {}
    for call in [*own, *others] if search else own:
        if (held := _in_call(call, calls[call], value, module, compare)) is not None:
            if held.error <= SAME_TENSOR:
                return held
            found[call] = held
    left = [held for call, held in found.items() if call not in taken]
    if not left:
        return None
    nearest = min(left, key=lambda held: held.error)
    return nearest if nearest.error < FAR_NEARER * left[0].error else left[0]


def parts(value: Tensor, calls: Calls, samples: int, fed: int) -> Iterator[Tensor]:
    """A layer's value by calls: one, or one for each batch where it ran once on several. `fed` samples of `samples` went in."""
    several = len(calls) > 1 and value.ndim > 1 and len(value) > fed > 0 and len(value) % fed == 0
    if several and all(tap.shape[:1] == (samples,) for call in calls for tap in call):
        yield from value.split(fed)
    else:
        yield value


def _in_call(call: int, taps: Sequence[RecordedTap], value: Tensor, module: nn.Module, compare: Compare) -> Answer | None:
    """The stage of a call that a value is held against: the one that it is, else the one that this module gives."""
    found = [Answer(call, tap, *compared) for tap in taps if (compared := compare(tap, value))]
    if len(found) < 2:
        return found[0] if found else None
    nearest = min(found, key=lambda held: held.error)
    if nearest.error <= SAME_TENSOR:
        return nearest
    if type(module).__module__.startswith("torch.nn."):
        return found[0]  # PyTorch's own layers have no activation
    for held in found[1:]:
        if held.tap.op in RANGES and _within(value, *RANGES[held.tap.op]) and not _within(found[0].expected, *RANGES[held.tap.op]):
            return held  # all of its values are an activation's
    return found[0] if all(held.tap.op in RANGES for held in found[1:]) else nearest


def _within(value: Tensor, least: float, most: float) -> bool:
    return bool(((value >= least) & (value <= most)).all())
