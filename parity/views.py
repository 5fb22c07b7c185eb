"""The tensors that can be seen in what a module gives, and how each is replaced there.

A layer may give more than a tensor: `nn.LSTM` a sequence and its last states, `nn.MultiheadAttention` values and weights, a module of a
user's own any nesting. Which of them the original's tensor is, its shape tells, and where several fit, its values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


@dataclass(frozen=True)
class View:
    """One tensor in a module's output: `get` finds it, `put` gives the output with another in its place."""

    name: str
    get: Callable[[Any], Tensor]
    put: Callable[[Any, Tensor], Any]


def views(module: nn.Module, output: Any) -> list[View]:
    """The tensors in what a module gave, the one that is meant most often first; none where it gave one tensor."""
    if isinstance(module, nn.RNNBase) and isinstance(output, tuple):
        return _of_recurrent(module)
    return [] if isinstance(output, Tensor) else [_at(path) for path in _paths(output)]


def _paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the tensors of a nested output stand."""
    if isinstance(value, Tensor):
        yield before
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _paths(item, (*before, name))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _paths(item, (*before, i))


def _at(path: tuple[Any, ...]) -> View:
    def get(output: Any) -> Tensor:
        for step in path:
            output = output[step]
        value: Tensor = output
        return value

    return View(".".join(map(str, path)), get, lambda output, value: _put(output, path, value))


def _put(output: Any, path: tuple[Any, ...], value: Tensor) -> Any:
    if not path:
        return value
    if isinstance(output, Mapping):
        changed = {**output, path[0]: _put(output[path[0]], path[1:], value)}
        return changed if type(output) is dict else type(output)(changed)  # type: ignore[call-arg]
    items = [_put(item, path[1:], value) if i == path[0] else item for i, item in enumerate(output)]
    return type(output)(*items) if hasattr(output, "_fields") else type(output)(items)


def _of_recurrent(module: nn.RNNBase) -> list[View]:
    """The sequence [N, T, C], the last step's [N, C] and, of an LSTM, the last cell state; of two directions also their sum."""
    two, first = module.bidirectional, module.batch_first
    size = module.proj_size or module.hidden_size

    def sequence(output: Any) -> Tensor:
        steps = output[0]
        if isinstance(steps, PackedSequence):
            padded: Tensor = pad_packed_sequence(steps, batch_first=True)[0]
            return padded
        value: Tensor = steps if first or steps.ndim < 3 else steps.transpose(0, 1)
        return value

    def with_sequence(output: Any, value: Tensor) -> Any:
        steps, state = output
        if isinstance(steps, PackedSequence):
            lengths = pad_packed_sequence(steps, batch_first=True)[1]
            steps = pack_padded_sequence(value, lengths, batch_first=True, enforce_sorted=False)
            return steps, state
        ends = torch.cat([value[..., -1, :size], value[..., 0, size:]], -1) if two else value[..., -1, :]
        return (value if first or value.ndim < 3 else value.transpose(0, 1)), _with_last(state, ends, two, 0)

    def with_last(output: Any, value: Tensor) -> Any:
        steps, state = output
        if not isinstance(steps, PackedSequence):
            changed = sequence(output).clone()
            changed[..., -1, :size] = value[..., :size]
            if two:
                changed[..., 0, size:] = value[..., size:]
            steps = changed if first or changed.ndim < 3 else changed.transpose(0, 1)
        return steps, _with_last(state, value, two, 0)

    found = [
        View("sequence", sequence, with_sequence),
        View("last", lambda output: _last(output[1], two, 0), with_last),
    ]
    if two:
        found.append(
            View("sum", lambda output: sequence(output)[..., :size] + sequence(output)[..., size:], _with_sum(sequence, with_sequence))
        )
    if isinstance(module, nn.LSTM):
        found.append(View("cell", lambda output: _last(output[1], two, 1), lambda o, value: (o[0], _with_last(o[1], value, two, 1))))
    return found


def _with_sum(sequence: Callable[[Any], Tensor], with_sequence: Callable[[Any, Tensor], Any]) -> Callable[[Any, Tensor], Any]:
    """Puts what is missing of a sum into the first direction."""

    def put(output: Any, value: Tensor) -> Any:
        forward, backward = sequence(output).chunk(2, -1)
        return with_sequence(output, torch.cat([value - backward, backward + 0 * forward], -1))

    return put


def _last(state: Any, two: bool, which: int) -> Tensor:
    """The last layer's state [N, C], that of both directions side by side; `which`: 0 the output, 1 the cell state."""
    value = state[which] if isinstance(state, tuple) else state
    return torch.cat([value[-2], value[-1]], -1) if two else value[-1]


def _with_last(state: Any, value: Tensor, two: bool, which: int) -> Any:
    own = (state[which] if isinstance(state, tuple) else state).clone()
    if two:
        own[-2], own[-1] = value.chunk(2, -1)
    else:
        own[-1] = value
    return tuple(own if i == which else other for i, other in enumerate(state)) if isinstance(state, tuple) else own
