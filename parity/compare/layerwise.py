"""Every layer alone, in one forward pass in float64.

Each layer's output is compared and then replaced by the original's, so that the next layer is fed with the original's own values.
Whatever the port does between two layers is thus judged with the second of them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.compare.comparison import OUTPUT, VARIABLE, Comparison, Layerwise, Match
from stylexport.parity.compare.error_maps import error_maps
from stylexport.parity.compare.hooks import Capture, capturing, rows_in, stubbed
from stylexport.parity.difference import Difference, difference
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.ports import Site
from stylexport.parity.result import Fault, Maps
from stylexport.parity.verdict import EXACT

ACTIVATION = "activation"
ACTIVATIONS = frozenset("Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh Softplus".split())
SAME_TENSOR = 1e-6  # a value of the port and one of the original, no further apart than this, are the same tensor
Compared = tuple[Difference, Tensor]


def run_layerwise(comparison: Comparison, exact: nn.Module) -> Layerwise:
    """Judges each layer of `exact`, the port in float64, which stays as it is."""
    run = _Run(comparison, copy.deepcopy(exact))
    for layer in comparison.taps:
        if comparison.is_variable(layer):
            run.compare_variable(layer)
    inputs = {name: value[: comparison.rows] for name, value in comparison.original.inputs(torch.float64).items()}
    hooks = capturing(run.module, [*comparison.sites, *_unnamed_modules(comparison)], run.compare_layer, trim=True)
    with torch.no_grad(), hooks:
        outputs = comparison.port.run(run.module, inputs)
    for name, tap in comparison.output_taps.items():
        if name in outputs and (compared := comparison.original.compare(tap, outputs[name])):
            run.compare_output(comparison.output_layer(name), tap, compared, outputs[name])
    return Layerwise(run.matches, run.matched_sites(), tuple(run.faults), run.maps)


class _Run:
    """The forward pass while it goes on: what was matched so far. `last_value` is the layer compared last, with the original's value."""

    def __init__(self, comparison: Comparison, module: nn.Module) -> None:
        self.comparison, self.original, self.module = comparison, comparison.original, module
        self.matches: dict[str, Match] = {}
        self.faults: list[Fault] = []
        self.maps: Maps | None = None
        self.last_value: tuple[str, Tensor] = ("", torch.empty(0))

    def compare_layer(self, capture: Capture) -> Tensor | None:
        """Compares a layer's value with its taps, and returns the original's."""
        layer, value = capture.site.layer, capture.value[: self._rows_of_parts(capture)]
        pairs = [(tap, c) for tap in self.comparison.taps.get(layer, []) if (c := self.original.compare(tap, value))]
        pairs = pairs or self._matched_by_value(layer, value) or self._matched_by_activation(capture, value)
        if not pairs:
            return self._compare_misshapen(capture, value)
        tap, compared = min(pairs, key=lambda pair: _number(pair[1][0].error))
        self._judge(layer, tap, compared, value, lambda given, expected: self._suspect(capture, given, expected))
        self.last_value = layer, compared[1][: self.comparison.rows]
        return self.last_value[1]

    def _compare_misshapen(self, capture: Capture, value: Tensor) -> Tensor | None:
        """A layer of a known network whose output has another shape than all its taps, as with another stride: a fault.

        A custom network's layers may be cut otherwise than the graph; they are left without a match.
        """
        layer = capture.site.layer
        if self.original.network.config is None or layer not in self.comparison.taps:
            return None
        tap = self.comparison.taps[layer][0]
        expected = self.original.channels_first(tap)
        compared = Difference(math.inf, math.inf), expected
        self._judge(layer, tap, compared, value, lambda given, expected: self._suspect(capture, given, expected))
        return expected[: self.comparison.rows]

    def compare_output(self, layer: str, tap: RecordedTap, compared: Compared, value: Tensor) -> None:
        """An output: what the port does behind its last layer."""

        def suspect(given: Tensor, expected: Tensor) -> Suspect:
            return Suspect(
                **self._facts(layer, OUTPUT),
                module=nn.Identity().eval(),
                call=lambda module, args, kwargs: module(*args),
                args=(given,),
                kwargs={},
                expected=expected,
                given=given,
            )

        self._judge(layer, tap, compared, value, suspect)

    def compare_variable(self, layer: str) -> None:
        """A variable that is itself data: compared as it is, then replaced by the original's."""
        owner = self.module.get_submodule(layer)
        for name, expected in self.original.layer_weights(layer).items():
            own = getattr(owner, name, None)
            if isinstance(own, Tensor):
                tap, own, expected = self.comparison.taps[layer][0], own.detach().clone()[None], expected[None]
                self._judge(layer, tap, (difference(own, expected), expected), own, self._suspect_variable(layer, name))
                with torch.no_grad():
                    getattr(owner, name).copy_(expected[0])

    def matched_sites(self) -> tuple[Site, ...]:
        """Where the matched layers are read, those that were matched by value included."""
        named = {site.layer for site in self.comparison.sites} | set(self.comparison.taps)
        by_value = [layer for layer, match in self.matches.items() if layer not in named and match.tap.stage != OUTPUT]
        return (*self.comparison.sites, *(Site(layer, layer) for layer in by_value))

    def _judge(self, layer: str, tap: RecordedTap, compared: Compared, given: Tensor, suspect: Callable[[Tensor, Tensor], Suspect]) -> None:
        """Keeps the match (of a layer that runs more than once, with the largest error), and explains its fault."""
        distance, expected = compared
        before = self.matches.get(layer)
        error = max(before.error if before else 0.0, _number(distance.error))
        self.matches[layer] = Match(before.tap if before else tap, error, given.shape)
        if not distance.error <= EXACT:
            rows = min(len(given), len(expected))
            given, expected = given[:rows].clone(), expected[:rows].contiguous()
            self.faults.append(self.comparison.explain(suspect(given, expected)))
            if given.shape == expected.shape:
                self.maps = self.maps or error_maps(layer, given, expected)

    def _facts(self, layer: str, stage: str) -> dict[str, Any]:
        """What all suspects of this network have in common."""
        port = self.comparison.port
        return {"network": port.network, "layer": layer, "config": self.original.network.config, "own": port.config, "stage": stage}

    def _suspect(self, capture: Capture, given: Tensor, expected: Tensor) -> Suspect:
        """A layer that a module computes; its children that are layers themselves become stubs that return the original's values."""
        site = capture.site
        own = site.own or site.module
        children = {
            other.module.removeprefix(f"{own}."): value
            for other in self.comparison.sites
            if other.module.startswith(f"{own}.") and (match := self.matches.get(other.layer))
            if (value := self.original.value(match.tap, match.shape)) is not None
        }

        def call(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
            output = module(*args, **kwargs)
            value: Tensor = output + site.plus if site.own else site.get(output)
            return value[: len(expected)]

        return Suspect(
            **self._facts(site.layer, self.matches[site.layer].tap.stage),
            module=stubbed(self.module.get_submodule(own), children),
            call=call,
            args=capture.args,
            kwargs=capture.kwargs,
            expected=expected,
            given=given,
            weights=self.original.layer_weights(own),
        )

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
        path = capture.site.module
        inside = [self.matches.get(site.layer) for site in self.comparison.sites if site.module.startswith(f"{path}.")]
        parts = [match.tap.rows for match in inside if match]
        return min(parts + rows_in((capture.args, capture.kwargs)), default=None) if parts else None

    def _matched_by_value(self, layer: str, value: Tensor) -> list[tuple[RecordedTap, Compared]]:
        """The tap without a layer that has this value, up to its layout."""
        if layer in self.comparison.taps:
            return []
        claimed = {match.tap.tensor for match in self.matches.values()}
        for tap in self.original.network.taps:
            named = tap.declared and tap.layer and self.comparison.port.site(tap.layer)
            if named or tap.stage in (OUTPUT, VARIABLE) or tap.tensor in claimed or math.prod(tap.shape[1:]) != value[0].numel():
                continue
            if compared := self.original.compare(tap, value):
                if compared[0].error <= SAME_TENSOR:
                    return [(tap, compared)]
                self.original.orders.pop(tap.tensor, None)
        return []

    def _matched_by_activation(self, capture: Capture, value: Tensor) -> list[tuple[RecordedTap, Compared]]:
        """The tap behind the activation of the layer before, for an activation module whose input is that layer's output."""
        layer, handed = self.last_value
        takes_it = len(capture.args) == 1 and isinstance(capture.args[0], Tensor) and capture.args[0].data_ptr() == handed.data_ptr()
        if capture.site.layer in self.comparison.taps or not takes_it or type(capture.module).__module__ != nn.ReLU.__module__:
            return []
        for tap in self.comparison.taps.get(layer, []):
            if tap.stage == ACTIVATION and tap.op in ACTIVATIONS and (compared := self.original.compare(tap, value)):
                return [(tap, compared)]
        return []


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
    return [Site(path, path) for path, _ in comparison.port.module.named_modules() if path and path not in known]


def _number(error: float) -> float:
    """The error, infinite where it is not a number."""
    return math.inf if math.isnan(error) else error
