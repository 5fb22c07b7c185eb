"""Every layer alone, in one forward pass in float64.

Each layer's output is compared and then replaced by the original's, so that the next layer is fed with the original's own values.
Whatever the port does between two layers is thus judged with the second of them. Of a layer that runs more than once, each call is compared
with the call of the original that it answers for (`stylexport.parity.match.calls`), and replaced by that call's value. Of a layer that is
cut later, in the port or in the original, the part that both have is compared and replaced (`stylexport.parity.match.promises`).
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.compare.comparison import OUTPUT, PARAMETERS, VARIABLE, Comparison, Layerwise, Match
from stylexport.parity.compare.coverage import missing
from stylexport.parity.compare.hooks import Capture, capturing, gives_with, rows_in, stubbed
from stylexport.parity.difference import SAME_TENSOR, Difference, difference
from stylexport.parity.error_maps import error_maps
from stylexport.parity.explain.parameter_place import of_a_parameter
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.match.by_value import of_an_activation, of_this_value
from stylexport.parity.match.calls import Answer, answer, parts
from stylexport.parity.match.in_code import computed_in_code
from stylexport.parity.match.in_hand import SOURCES, inputs_as_sources, source_of, spatial_size
from stylexport.parity.match.misshapen import in_part, whole_value
from stylexport.parity.match.other_order import Sum, other_orders
from stylexport.parity.match.promises import Seen, broken_promises
from stylexport.parity.ports import Site
from stylexport.parity.result import Fault, Maps


def run_layerwise(comparison: Comparison, exact: nn.Module) -> Layerwise:
    """Judges each layer of `exact`, the port in float64, which stays as it is."""
    users, whole = comparison.original.network.config is None, frozenset[str]()
    if users:

        def seen(whole: frozenset[str]) -> list[Seen] | None:
            try:
                return _pass(comparison, exact, whole, silent=True).seen
            except Exception:  # the user's code, which may raise anything where a value has the original's shape
                return None

        whole = broken_promises(seen)
    sums = _other_orders(comparison, exact, whole) if users else {}
    run = _pass(comparison, exact, whole, sums=sums)
    found = Layerwise(run.calls, run.matched_sites(), tuple(run.faults), run.maps)
    left = [tap for tap in missing(comparison, found) if tap.stage != OUTPUT] if users else []
    return dataclasses.replace(found, in_code=_in_code(comparison, exact, left)) if left else found


def _in_code(comparison: Comparison, exact: nn.Module, left: Sequence[RecordedTap]) -> frozenset[str]:
    """Those of the tensors without a layer that the port's own code computes."""
    inputs = comparison.original.inputs(torch.float64)
    return computed_in_code(comparison.original, lambda module: comparison.port.run(module, inputs), copy.deepcopy(exact), left)


def _other_orders(comparison: Comparison, exact: nn.Module, whole: frozenset[str]) -> Mapping[str, Sum]:
    """The layers that are wrong only because the port adds the terms of a sum in another order, if nothing else is wrong because of it."""
    try:
        wrong = _pass(comparison, exact, whole, silent=True).wrong_layers()
        once = {layer: comparison.taps[layer] for layer in wrong if len(comparison.calls.get(layer, ())) == 1}
        if not once:
            return {}
        inputs = comparison.original.inputs(torch.float64)
        module = copy.deepcopy(exact)
        sums = other_orders(comparison.original, lambda module: comparison.port.run(module, inputs), module, once, wrong)
        left = _pass(comparison, exact, whole, silent=True, sums=sums).wrong_layers() if sums else wrong
    except Exception:  # the user's code, which may raise anything where a value has the original's shape
        return {}
    return sums if left.keys() <= wrong.keys() - sums.keys() else {}


def _pass(
    comparison: Comparison, exact: nn.Module, whole: frozenset[str], silent: bool = False, sums: Mapping[str, Sum] | None = None
) -> _Run:
    """One forward pass. The layers `whole` must give the original's whole value; a `silent` pass explains no fault.

    The layers of `sums` keep their own value: not it but the sum was compared.
    """
    run = _Run(comparison, copy.deepcopy(exact), whole, silent, sums or {})
    comparison.original.parts.clear()
    for layer in comparison.taps:
        if comparison.is_variable(layer):
            run.compare_variable(layer)
    inputs = {name: value[: comparison.rows] for name, value in comparison.original.inputs(torch.float64).items()}
    hooks = capturing(run.module, [*comparison.sites, *_unnamed_modules(comparison)], run.compare_layer, trim=comparison.rows is None)
    with torch.no_grad(), hooks:
        outputs = comparison.port.run(run.module, inputs)
    for name in comparison.output_taps:
        if name in outputs:
            run.compare_output(name, outputs[name])
    return run


class _Run:
    """The forward pass while it goes on. `calls`: layer -> what its calls so far answer for; `taken`: those calls of the original.

    `last` is the call compared last: its taps, and the original's value. `sources` are the values that the port was given last.
    """

    def __init__(self, comparison: Comparison, module: nn.Module, whole: frozenset[str], silent: bool, sums: Mapping[str, Sum]) -> None:
        self.comparison, self.original, self.module = comparison, comparison.original, module
        self.calls: dict[str, list[Match | None]] = {}
        self.taken: dict[str, set[int]] = {}
        self.faults: list[Fault] = []
        self.maps: Maps | None = None
        self.last: tuple[list[RecordedTap], Tensor] = ([], torch.empty(0))
        self.whole, self.silent, self.sums = whole, silent, sums
        self.seen: list[Seen] = []
        self.sources = collections.deque(inputs_as_sources(self.original, comparison.rows), SOURCES)

    def compare_layer(self, capture: Capture) -> Tensor | None:
        """Compares a layer's value with its taps, and returns the original's."""
        value = capture.value[: self._rows_of_parts(capture)]
        samples = self.original.network.samples
        pieces = list(parts(value, self.comparison.calls.get(capture.site.layer, ()), samples, self.comparison.rows or samples))
        gave = [self._compare_call(capture, piece, i * len(piece)) for i, piece in enumerate(pieces)]
        if len(gave) == 1:
            return gave[0]
        return torch.cat([piece if other is None else other for piece, other in zip(pieces, gave, strict=True)])

    def _compare_call(self, capture: Capture, value: Tensor, start: int) -> Tensor | None:
        """One call, whose rows begin at `start` of those that the module gave; None where it answers for nothing."""
        layer = capture.site.layer
        held = self._answer(capture, value)
        if layer in self.sums and (held is None or not self._holds(held)):
            found = self.sums[layer]
            self.calls.setdefault(layer, []).append(Match(found.tap, found.error, value.shape, reordered=True))
            return None
        if held is None:
            return self._compare_misshapen(capture, value, start)
        self._judge(layer, held, value, lambda given, expected: self._suspect(capture, given, expected, start))
        self.seen.append(Seen(layer, self._holds(held), took=spatial_size(capture.args)))
        return self._hand_on(layer, held, held.expected if self.comparison.rows is None else held.expected[: len(value)])

    def _hand_on(self, layer: str, held: Answer, value: Tensor, guessed: bool = False) -> Tensor:
        """What the port is given in the place of its own value. It explains nothing where the original's place in it was `guessed`."""
        calls = self.comparison.calls.get(layer)
        self.last = calls[held.call] if calls else [], value
        if self.comparison.rows is not None and not self.silent and not guessed:
            self.sources.appendleft(source_of(self.original, held.tap, layer, value))
        return value

    def _holds(self, held: Answer) -> bool:
        """Whether a value is the original's, up to what it may be off by alone."""
        return held.error <= self.original.allowed_alone(held.tap)

    def _answer(self, capture: Capture, value: Tensor) -> Answer | None:
        """What a call of a layer is held against."""
        layer, calls = capture.site.layer, self.comparison.calls.get(capture.site.layer)
        if calls is None:
            return self._of_this_value(value) or self._of_an_activation(capture, value)
        before = self.calls.get(layer, [])
        failed = any(match is not None and match.fails for match in before)
        held = answer(calls, self.taken.get(layer, ()), len(before), value, capture.module, self.original.compare, search=not failed)
        return held if held is None or held.error <= SAME_TENSOR or not self.comparison.holds_layers(layer) else None

    def _compare_misshapen(self, capture: Capture, value: Tensor, start: int) -> Tensor | None:
        """A layer whose output has another shape than all its taps, as with another stride: a fault.

        Not so in a user's network where it is cut later, which is compared in part, nor where it is no convolution: it may be laid out in
        another way, and is left without a match.
        """
        layer, calls = capture.site.layer, self.comparison.calls.get(capture.site.layer, [])
        cut_later = self.comparison.rows is not None and layer not in self.whole
        number = len(self.calls.get(layer, ()))
        found, right = None, gives_with(capture, self.original.layer_weights(capture.site.module))
        if calls and not self.comparison.holds_layers(layer):
            found = in_part(self.original, capture.module, calls, number, value, right) if cut_later else None
            found = found or whole_value(self.original, capture.module, calls, number, value)
        if found is None:
            self.calls.setdefault(layer, []).append(None)
            return None
        held, handed = found
        self._judge(layer, held, value, lambda given, expected: self._suspect(capture, given, expected, start, cut_later))
        part = self.original.parts.get(held.tap.tensor)
        more, size = (0, ()) if part is None else (1, part[1].size) if part[1].ours_larger else (-1, self.original.sizes(held.tap, part[0]))
        self.seen.append(Seen(layer, self._holds(held), more, size, spatial_size(capture.args)))
        return self._hand_on(layer, held, handed[: self.comparison.rows], guessed=part is not None and not self._holds(held))

    def compare_output(self, name: str, value: Tensor) -> None:
        """An output: what the port does behind its last layer. Of another shape than the original's, it is a fault."""
        layer, tap = self.comparison.output_layer(name), self.comparison.output_taps[name]
        compared = self.original.compare(tap, value) or (Difference(math.inf, math.inf), self.original.channels_first(tap))

        def suspect(given: Tensor, expected: Tensor) -> Suspect:
            return Suspect(
                **self._facts(layer, OUTPUT),
                module=nn.Identity().eval(),
                call=lambda module, args, kwargs: module(*args),
                args=(given,),
                kwargs={},
                expected=expected,
                given=given,
                sources=tuple(self.sources),
            )

        held = Answer(0, tap, *compared)
        self.seen.append(Seen(layer, self._holds(held)))
        self._judge(layer, held, value, suspect)

    def compare_variable(self, layer: str) -> None:
        """A variable that is itself data: compared as it is, then replaced by the original's."""
        owner, tensors = (
            self.module,
            {layer: self.original.weight(layer).to(torch.float64)} if layer in self.original.network.weights else {},
        )
        if not tensors:
            owner, tensors = self.module.get_submodule(layer), self.original.layer_weights(layer)
        for name, expected in tensors.items():
            own = getattr(owner, name, None)
            if isinstance(own, Tensor):
                tap, own, expected = self.comparison.taps[layer][0], own.detach().clone()[None], expected[None]
                held = Answer(0, tap, difference(own, expected), expected)
                self._judge(layer, held, own, self._suspect_variable(layer, name))
                with torch.no_grad():
                    getattr(owner, name).copy_(expected[0])

    def wrong_layers(self) -> dict[str, float]:
        """The layers that are wrong by themselves, with the largest error of each."""
        judged = {layer: [match for match in calls if match and not match.reordered] for layer, calls in self.calls.items()}
        return {layer: max(match.error for match in calls) for layer, calls in judged.items() if any(match.fails for match in calls)}

    def matched_sites(self) -> tuple[Site, ...]:
        """Where the matched layers are read, those that were matched by value included."""
        named = {site.layer for site in self.comparison.sites} | set(self.comparison.taps)
        others = {layer: next((match for match in calls if match), None) for layer, calls in self.calls.items() if layer not in named}
        by_value = [layer for layer, match in others.items() if match and match.tap.stage != OUTPUT]
        return (*self.comparison.sites, *(self.comparison.port.sites.get(layer, Site(layer, layer)) for layer in by_value))

    def _judge(self, layer: str, held: Answer, given: Tensor, suspect: Callable[[Tensor, Tensor], Suspect]) -> None:
        """Keeps what a call answers for, and explains its fault: of a layer that runs more than once, the first."""
        before = self.calls.setdefault(layer, [])
        explained = any(match is not None and match.fails for match in before)
        match = Match(held.tap, held.error, given.shape, self.original.allowed_alone(held.tap))
        before.append(match)
        self.taken.setdefault(layer, set()).add(held.call)
        if explained or self.silent or not match.fails:
            return
        rows = min(len(given), len(held.expected))
        given, expected = given[:rows].clone(), held.expected[:rows].contiguous()
        experiment = dataclasses.replace(suspect(given, expected), allowed=match.allowed)
        fault = self._of_a_parameter(experiment, held.tap) or self.comparison.explain(experiment)
        if len(self.comparison.calls.get(layer, ())) > 1:
            fault = dataclasses.replace(fault, detail=f"{fault.detail} (call {len(before)} of the layer)".strip())
        self.faults.append(fault)
        if given.shape == expected.shape:
            self.maps = self.maps or error_maps(layer, given, expected)

    def _of_a_parameter(self, suspect: Suspect, tap: RecordedTap) -> Fault | None:
        """The fault of a layer that is right on the original's value where a tensor went in that no module's output shows."""
        taps, comparison = self.original.network.taps, self.comparison
        for before in taps[: taps.index(tap)][::-1]:
            layer = before.layer
            if before.stage == PARAMETERS and (comparison.is_variable(layer) or comparison.holds_layers(layer)):
                own = [name for name in self.original.network.weights if (name.rpartition(".")[0] or name) == layer]
                tensors = {name: self.original.weight(name) for name in own}
                if fault := of_a_parameter(suspect, layer, tensors, partial(self.original.value, before)):
                    return fault
        return None

    def _facts(self, layer: str, stage: str) -> dict[str, Any]:
        """What all suspects of this network have in common."""
        port = self.comparison.port
        return {"network": port.network, "layer": layer, "config": self.original.network.config, "own": port.config, "stage": stage}

    def _suspect(self, capture: Capture, given: Tensor, expected: Tensor, start: int, cut_later: bool = False) -> Suspect:
        """A layer that a module computes; its children that are layers themselves become stubs that return the original's values."""
        site = capture.site
        own = site.own or site.module
        match = self.calls[site.layer][-1]
        assert match is not None

        def call(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
            with self.comparison.port.context(module, args):
                output = module(*args, **kwargs)
            value: Tensor = output + site.plus if site.own else site.get(output)
            return value[start : start + len(expected)]

        return Suspect(
            **self._facts(site.layer, match.tap.stage),
            module=stubbed(self.module.get_submodule(own), self._children(site.layer, own)),
            call=call,
            args=capture.args,
            kwargs=capture.kwargs,
            expected=expected,
            given=given,
            weights=self.original.layer_weights(own),
            sources=tuple(self.sources),
            cropped=cut_later,
        )

    def _children(self, layer: str, own: str) -> dict[str, list[Tensor]]:
        """What the layers inside the module `own` gave in this call of it, by their paths: the original's values."""
        found, runs = {}, len(self.calls[layer])
        for site in self.comparison.sites:
            calls = self.calls.get(site.layer, [])
            each = len(calls) // runs or 1
            values = [self.original.value(match.tap, match.shape) for match in calls[-each:] if match]
            if site.module.startswith(f"{own}.") and values and (known := [value for value in values if value is not None]):
                found[site.module.removeprefix(f"{own}.")] = known
        return found

    def _suspect_variable(self, layer: str, name: str) -> Callable[[Tensor, Tensor], Suspect]:
        def suspect(given: Tensor, expected: Tensor) -> Suspect:
            return Suspect(
                **self._facts(layer, VARIABLE),
                module=_Holder(name, given[0]),
                call=lambda module, args, kwargs: getattr(module, name)[None],
                args=(),
                kwargs={},
                expected=expected,
                given=given,
                weights={name: expected[0]},
            )

        return suspect

    def _rows_of_parts(self, capture: Capture) -> int | None:
        """How many rows of a value are valid: where a block adds a part with one row to one with more, PyTorch repeats the one."""
        if self.comparison.rows is not None:
            return None
        path = capture.site.module
        inside = [self.calls.get(site.layer, ()) for site in self.comparison.sites if site.module.startswith(f"{path}.")]
        rows = [match.tap.rows for calls in inside for match in calls if match]
        return min(rows + rows_in((capture.args, capture.kwargs)), default=None) if rows else None

    def _of_this_value(self, value: Tensor) -> Answer | None:
        """The tap without a layer that has this value, up to its layout."""
        comparison = self.comparison
        judged = [calls for layer, calls in self.calls.items() if not comparison.is_variable(layer)]
        claimed = {match.tap.tensor for calls in judged for match in calls if match}
        named = {layer for layer in comparison.taps if comparison.port.site(layer) and not comparison.holds_layers(layer)}
        taps = (
            tap for tap in self.original.network.taps if tap.stage not in (OUTPUT, VARIABLE) and not (tap.declared and tap.layer in named)
        )
        return of_this_value(self.original, taps, value, claimed)

    def _of_an_activation(self, capture: Capture, value: Tensor) -> Answer | None:
        """The tap behind the activation of the layer before, for an activation module whose input is that layer's output."""
        call, handed = self.last
        takes_it = len(capture.args) == 1 and isinstance(capture.args[0], Tensor) and capture.args[0].data_ptr() == handed.data_ptr()
        is_module = type(capture.module).__module__ == nn.ReLU.__module__
        return of_an_activation(self.original, call, value) if takes_it and is_module else None


class _Holder(nn.Module):
    """Holds one tensor under its name."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_buffer(name, value)
        self.eval()


def _unnamed_modules(comparison: Comparison) -> list[Site]:
    """Modules of a custom network with no tap matched by name; they are matched by value instead."""
    if comparison.original.network.config is not None:
        return []
    known = {site.module for site in comparison.sites}
    paths = (path for path, _ in comparison.port.module.named_modules() if path and path not in known)
    return [comparison.port.sites.get(path, Site(path, path)) for path in paths]
