"""What the recorded inputs do not show of a graph: bounds that no value reaches, branches never taken, rows that no index takes.

A port that leaves such an operation out, or does it wrongly, gives the same numbers on these inputs. Each is told in a sentence, on the
first tap behind it that a layer of the port must answer for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from stylexport.common.types import Array
from stylexport.converter.calls.calls import Call, flow_of
from stylexport.converter.calls.fixed_values import FixedValues
from stylexport.converter.graph.dataflow import Flow, name_of, resolve
from stylexport.converter.graph.layer_calls import plain
from stylexport.converter.graph.protos import DTYPES
from stylexport.converter.output.recording import RecordedTap

_GUARD = 1e-3  # a bound nearer to zero than this, and not zero, guards a division or a logarithm
_LEAKING = ("LeakyRelu", "Elu", "Selu")
_CHOOSING = ("Select", "SelectV2", "If", "StatelessIf")
_GATHERING = ("Gather", "GatherV2", "ResourceGather")

Look = Callable[[Array], Iterator[str]]


@dataclass
class Unseen:
    """The nodes of a call that are to be watched. `watched`: reference -> what is to be done with its value."""

    flow: Flow
    watched: dict[str, Callable[[Array], None]] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)  # node -> sentences

    def marked(self, taps: Sequence[RecordedTap]) -> list[RecordedTap]:
        """The taps of the call, after it was run, with what was not seen."""
        sentences: dict[int, list[str]] = {}
        places = [name_of(resolve(self.flow.graph, tap.node)) for tap in taps]
        for node, said in self.found.items():
            behind = self.flow.depending_on([node])
            first = next((i for i, place in enumerate(places) if taps[i].declared and place in behind), None)
            if first is not None:
                sentences.setdefault(first, []).extend(said)
        return [dataclasses.replace(tap, unseen=tuple(sentences.get(i, ()))) for i, tap in enumerate(taps)]


def watching(call: Call, read: Callable[[str], Array]) -> Unseen:
    """The bounds, branches and tables of a call whose use depends on its inputs. `read`: a variable's value by its checkpoint key."""
    flow = flow_of(call.function)
    unseen, fixed = Unseen(flow), FixedValues(flow, read)
    looks: dict[str, list[tuple[str, Look]]] = {}
    for name in flow.inputs:
        if name in flow.data:
            for ref, look in _looks(flow, fixed, name):
                looks.setdefault(ref, []).append((name, look))
    for ref, wanted in looks.items():
        unseen.watched[ref] = _looking(wanted, unseen.found)
    return unseen


def _looking(wanted: Sequence[tuple[str, Look]], found: dict[str, list[str]]) -> Callable[[Array], None]:
    def look_at(value: Array) -> None:
        for name, look in wanted:
            if value.size and (said := list(look(value))):
                found.setdefault(name, []).extend(said)

    return look_at


def _looks(flow: Flow, fixed: FixedValues, name: str) -> Iterator[tuple[str, Look]]:
    """What to look at for a node: a reference, and what its value says."""
    node, refs = flow.graph.nodes[name], flow.inputs[name]
    said = f"{plain(name)} ({node.op})"
    if node.op in ("Relu", "Relu6"):
        yield name, lambda y: _unless((y == 0).any(), f"no negative value comes to {said}: what it cuts is not seen")
    if node.op == "Relu6":
        yield name, lambda y: _unless((y >= 6).any(), f"no value reaches 6 at {said}: a relu in its place is not seen")
    if node.op in _LEAKING:
        yield name, lambda y: _unless((y < 0).any(), f"no negative value comes to {said}: what it does with them is not seen")
    if node.op in ("Minimum", "Maximum", "ClipByValue"):
        for bound in _bounds(flow, fixed, refs):
            yield name, partial(_bound, bound, said)
    if node.op in _CHOOSING and name_of(refs[0]) in flow.data and _is_float(node.attr):
        yield refs[0], lambda y: _unless((y != 0).any(), f"what {said} takes where its condition is true is not seen")
        yield refs[0], lambda y: _unless((y == 0).any(), f"what {said} takes where its condition is false is not seen")
    if node.op in _GATHERING and name_of(refs[1]) in flow.data and name_of(refs[0]) not in flow.data:
        rows = fixed.value(refs[0])
        if rows is not None and rows.ndim == 2 and len(rows) > 1:
            yield refs[1], partial(_rows, len(rows), said)


def _unless(seen: object, sentence: str) -> Iterator[str]:
    if not seen:
        yield sentence


def _bound(bound: float, said: str, values: Array) -> Iterator[str]:
    yield from _unless((values == bound).any(), f"no value reaches {bound:g} at {said}: this bound is not seen")


def _rows(of: int, said: str, indices: Array) -> Iterator[str]:
    taken = len(np.unique(indices))
    if taken < of:
        yield f"{said} takes {taken} of {of} rows: what it does with the others is not seen"


def _bounds(flow: Flow, fixed: FixedValues, refs: Sequence[str]) -> Iterator[float]:
    """The constants that cut the data."""
    for ref in refs:
        value = fixed.value(ref) if name_of(ref) not in flow.data else None
        if value is not None and value.size == 1:
            bound = float(value.flat[0])
            if not 0 < abs(bound) < _GUARD:
                yield bound


def _is_float(attrs: Mapping[str, object]) -> bool:
    """Whether a choice is between numbers, not between indices. An If says nothing of it."""
    kind = getattr(attrs["T"], "type", 0) if "T" in attrs else 0
    return not DTYPES.get(kind, "").startswith(("int", "uint"))
