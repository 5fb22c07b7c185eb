"""Every layer alone, in one forward pass in float64.

Each layer's output is compared and then replaced by what the original gave, so that the next is fed with the original's own values.
Whatever the port does between layers is thus judged with the layer that follows.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.converter.output.recording import RecordedTap
from stylexport.parity.compare import error_maps
from stylexport.parity.compare.hooks import Sight, rows_in, stubbed, watched
from stylexport.parity.comparison import OUTPUT, VARIABLE, Case
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.ports import Site
from stylexport.parity.verdict import EXACT, Difference, difference

ACTIVATION = "activation"
ACTIVATIONS = frozenset("Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh Softplus".split())
SEEN_TWICE = 1e-6  # a value that both sides have, no further apart than this, is the same tensor
Compared = tuple[Difference, Tensor]


def judge_alone(case: Case, exact: nn.Module) -> None:
    """Fills `chosen`, `alone`, `shapes`, `faults` and `maps` of the case. `exact` is the port in float64 and stays as it is."""
    module = copy.deepcopy(exact)
    for layer in case.taps:
        if case.is_variable(layer):
            _variable(case, module, layer)
    with torch.no_grad(), watched(module, [*case.sites, *_strangers(case)], lambda sight: _seen(case, module, sight), trim=True):
        outputs = case.port.run(module, {name: value[: case.rows] for name, value in case.original.inputs(torch.float64).items()})
    for name, tap in case.output_taps.items():
        if name in outputs and (compared := case.original.compare(tap, outputs[name])):
            layer = case.output_layer(name)
            _judge(case, layer, tap, compared, outputs[name], lambda g, e, layer=layer: _of_output(case, layer, g, e))  # type: ignore[misc]


def _seen(case: Case, module: nn.Module, sight: Sight) -> Tensor | None:
    """Compares a layer's value with its taps, and returns what the original gave."""
    layer, value = sight.site.layer, sight.value[: _rows_of_parts(case, sight)]
    pairs = [(tap, c) for tap in case.taps.get(layer, []) if (c := case.original.compare(tap, value))]
    pairs = pairs or _recognised(case, layer, value) or _activation(case, sight, value)
    if not pairs:
        return None
    tap, compared = min(pairs, key=lambda pair: _number(pair[1][0].error))
    _judge(case, layer, tap, compared, value, lambda given, expected: _of_module(case, module, sight, given, expected))
    case.handed_on = layer, compared[1][: case.rows]
    return case.handed_on[1]


def _rows_of_parts(case: Case, sight: Sight) -> int | None:
    """How many rows of a value are right to look at: where a block joins a part with one row to one with more, PyTorch repeats the one."""
    path = sight.site.module
    parts = [case.chosen[other.layer].rows for other in case.sites if other.module.startswith(f"{path}.") and other.layer in case.chosen]
    return min(parts + rows_in((sight.args, sight.kwargs)), default=None) if parts else None


def _judge(
    case: Case, layer: str, tap: RecordedTap, compared: Compared, given: Tensor, suspect: Callable[[Tensor, Tensor], Suspect]
) -> None:
    distance, expected = compared
    case.chosen.setdefault(layer, tap)
    case.shapes[layer] = given.shape
    case.alone[layer] = max(case.alone.get(layer, 0.0), _number(distance.error))
    if not distance.error <= EXACT:
        rows = min(len(given), len(expected))
        given, expected = given[:rows].clone(), expected[:rows].contiguous()
        case.faults.append(case.explain(suspect(given, expected)))
        case.maps = case.maps or error_maps.of(layer, given, expected)


def _of_module(case: Case, module: nn.Module, sight: Sight, given: Tensor, expected: Tensor) -> Suspect:
    """A layer that a module makes; its children that are layers themselves become stubs that give the original's values."""
    site, original = sight.site, case.original
    own = site.own or site.module
    children = {
        other.module.removeprefix(f"{own}."): value
        for other in case.sites
        if other.module.startswith(f"{own}.") and other.layer in case.shapes
        if (value := original.value(case.chosen[other.layer], case.shapes[other.layer])) is not None
    }

    def call(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        output = module(*args, **kwargs)
        value: Tensor = output + site.plus if site.own else site.get(output)
        return value[: len(expected)]

    return Suspect(
        network=case.port.network,
        layer=site.layer,
        module=stubbed(module.get_submodule(own), children),
        call=call,
        args=sight.args,
        kwargs=sight.kwargs,
        expected=expected,
        given=given,
        weights=original.layer_weights(own),
        config=original.network.config,
        own=case.port.config,
        stage=case.chosen[site.layer].stage,
    )


def _of_output(case: Case, layer: str, given: Tensor, expected: Tensor) -> Suspect:
    """An output: what the port does behind its last layer."""
    return Suspect(
        network=case.port.network,
        layer=layer,
        module=nn.Identity(),
        call=lambda module, args, kwargs: module(*args),
        args=(given,),
        kwargs={},
        expected=expected,
        given=given,
        config=case.original.network.config,
        own=case.port.config,
        stage=OUTPUT,
    )


def _variable(case: Case, module: nn.Module, layer: str) -> None:
    """A variable that is itself data: compared as it is, then put in place."""
    owner = module.get_submodule(layer)
    taps = {name: theirs for name, theirs in case.original.layer_weights(layer).items() if isinstance(getattr(owner, name, None), Tensor)}
    for name, theirs in taps.items():
        own = getattr(owner, name).detach().clone()
        _judge(
            case,
            layer,
            case.taps[layer][0],
            (difference(own[None], theirs[None]), theirs[None]),
            own[None],
            lambda given, expected, name=name: Suspect(  # type: ignore[misc]
                network=case.port.network,
                layer=layer,
                module=_Holder(name, given[0]),
                call=lambda module, args, kwargs: getattr(module, name)[None],
                args=(),
                kwargs={},
                expected=expected,
                given=given,
                weights={name: expected[0]},
                config=case.original.network.config,
                own=case.port.config,
                stage=VARIABLE,
            ),
        )
        with torch.no_grad():
            getattr(owner, name).copy_(theirs)


class _Holder(nn.Module):
    """Holds one tensor under its name."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_buffer(name, value)


def _strangers(case: Case) -> list[Site]:
    """Modules of a user's own network that no name gives a tap: they are recognised by their values."""
    if case.original.network.config is not None:
        return []
    known = {site.module for site in case.sites}
    return [Site(path, path) for path, _ in case.port.module.named_modules() if path and path not in known]


def _recognised(case: Case, layer: str, value: Tensor) -> list[tuple[RecordedTap, Compared]]:
    """The tap that no layer has claimed and whose value this is, up to its layout."""
    if layer in case.taps:
        return []
    claimed = {tap.tensor for tap in case.chosen.values()}
    for tap in case.original.network.taps:
        named = tap.declared and tap.layer and case.port.site(tap.layer)
        if named or tap.stage in (OUTPUT, VARIABLE) or tap.tensor in claimed or math.prod(tap.shape[1:]) != value[0].numel():
            continue
        if compared := case.original.compare(tap, value):
            if compared[0].error <= SEEN_TWICE:
                return [(tap, compared)]
            case.original.orders.pop(tap.tensor, None)
    return []


def _activation(case: Case, sight: Sight, value: Tensor) -> list[tuple[RecordedTap, Compared]]:
    """The tap behind a layer's activation, for an activation module that takes what the layer hands on, whatever its value."""
    layer, handed = case.handed_on
    takes_it = len(sight.args) == 1 and isinstance(sight.args[0], Tensor) and sight.args[0].data_ptr() == handed.data_ptr()
    if sight.site.layer in case.taps or not takes_it or type(sight.module).__module__ != nn.ReLU.__module__:
        return []
    for tap in case.taps.get(layer, []):
        if tap.stage == ACTIVATION and tap.op in ACTIVATIONS and (compared := case.original.compare(tap, value)):
            return [(tap, compared)]
    return []


def _number(error: float) -> float:
    """The error, infinite where it is not a number."""
    return math.inf if math.isnan(error) else error
