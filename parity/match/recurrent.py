"""How a port shows the results of its layers: a tensor among others, or a cell's step after step.

The original has one tensor for a recurrent layer: the sequence of all steps [N, T, C], or the last one [N, C]. A port may give it by
`nn.LSTM`, among its states; by a loop in a module of its own; or by a cell that it calls T times. Before anything is compared the port
runs once, and what each layer gives is held against the shapes of the original's tensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.difference import SAME_TENSOR
from stylexport.parity.match.pieces import PIECE, side_by_side
from stylexport.parity.original import STACK, STEP, Original
from stylexport.parity.ports import Port, Site
from stylexport.parity.views import View, views

RECURRENCE = "recurrence"  # the stage of a recurrent layer's result
_NOT_OF_LAYERS = ("output", "variable", PIECE)


def as_given(port: Port, original: Original, module: nn.Module, rows: int | None) -> tuple[Port, Original]:
    """A user's own port with the place at which each layer is seen, and the original with a cell's steps as calls of their own.

    `module` is the port's in float64; `rows` how many samples it is run on.
    """
    if original.network.config is not None:
        return port, original
    with _outputs(module) as gave, torch.no_grad():
        port.run(module, {name: value[:rows] for name, value in original.inputs(torch.float64).items()})
    sites, taps = dict(port.sites), list(original.network.taps)
    for path, outputs in gave.items():
        joined = side_by_side([tap for tap in taps if tap.layer == path], outputs[-1], original) if isinstance(outputs[-1], Tensor) else []
        if joined:
            place = next(i for i, tap in enumerate(taps) if tap.layer == path)
            taps[place:] = [*joined, *(tap for tap in taps[place:] if tap.layer != path)]
        own = [tap for tap in taps if tap.layer == path and tap.stage not in _NOT_OF_LAYERS]
        found, number = views(module.get_submodule(path), outputs[-1]), len(outputs)
        whole = own[0] if number > 1 and len(own) == 1 and own[0].stage == RECURRENCE else None
        steps = [_step(whole, t) for t in range(number)] if whole and whole.shape[1:2] == (number,) else []
        view = _chosen(found, outputs[-1], steps[-1:] or own or taps, original, bool(own))
        value = view.get(outputs[-1]) if view else outputs[-1]
        call = None
        if number == 1 and (at_once := _at_once(own, value)) is not None:
            taps = [at_once if tap is own[0] else tap for tap in taps if tap is own[0] or tap not in own]
        if whole and isinstance(value, Tensor):
            if steps and original.compare(steps[-1], value) is not None:
                taps[taps.index(whole) : taps.index(whole) + 1] = steps
            elif original.compare(whole, value) is not None:
                call = number - 1
        if view is not None or call is not None:
            sites[path] = Site(path, path, view=view, call=call)
    network = dataclasses.replace(original.network, taps=tuple(tap for tap in taps if tap.stage != PIECE))
    return dataclasses.replace(port, sites=sites), dataclasses.replace(original, network=network)


def _at_once(calls: Sequence[RecordedTap], value: Any) -> RecordedTap | None:
    """The original's calls for each step as one tensor [N, T, C], where the port has `value`, all steps at once; None where it has not."""
    first = calls[0] if len(calls) > 1 else None
    if (
        first is None
        or not isinstance(value, Tensor)
        or any((t.stage, t.shape, t.rows) != (first.stage, first.shape, first.rows) for t in calls)
    ):
        return None
    shape = (*first.shape[:1], len(calls), *first.shape[1:])
    if value.ndim != len(shape) or tuple(value.shape[1:]) != shape[1:]:
        return None
    worst = max(calls, key=lambda tap: tap.floor)
    return dataclasses.replace(worst, shape=shape, tensor=STACK.join(tap.tensor for tap in calls), layout="")


def _step(tap: RecordedTap, number: int) -> RecordedTap:
    """One step of a sequence."""
    shape = (*tap.shape[:1], *tap.shape[2:])
    return dataclasses.replace(tap, shape=shape, tensor=f"{tap.tensor}{STEP}{number}", layout="")


def _chosen(found: Sequence[View], output: Any, taps: Sequence[RecordedTap], original: Original, named: bool) -> View | None:
    """The view that has the value of one of `taps`; where these are the layer's own (`named`), else the first that fits."""
    fitting = []
    for view in found:
        for tap in taps:
            if tap.stage in _NOT_OF_LAYERS or (compared := original.compare(tap, view.get(output))) is None:
                continue
            if compared[0].error <= SAME_TENSOR:
                return view
            fitting.append(view)
    return fitting[0] if fitting and named else None


@contextlib.contextmanager
def _outputs(module: nn.Module) -> Iterator[dict[str, list[Any]]]:
    """What each module inside `module` gives, by its path, while the block runs."""
    gave: dict[str, list[Any]] = {}

    def keep(path: str) -> Any:
        return lambda module, args, output: gave.setdefault(path, []).append(output)

    handles = [part.register_forward_hook(keep(path)) for path, part in module.named_modules() if path]
    try:
        yield gave
    finally:
        for handle in handles:
            handle.remove()
