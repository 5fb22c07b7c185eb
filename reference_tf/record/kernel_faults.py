"""Marks the taps that depend on a wrong float32 kernel of TensorFlow's: their rounding floor is worthless, and the proof must say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stylexport.converter.calls.calls import Call, flow_of
from stylexport.converter.graph.dataflow import Flow, resolve
from stylexport.converter.graph.graph import name_of
from stylexport.converter.output.recording import UNIT, RecordedTap
from stylexport.reference_tf.replay.evaluator import ReadVariable
from stylexport.reference_tf.replay.kernel_check import wrong_kernels

# A tap whose floor is larger makes the call be checked node by node. A thousand times float32's unit of rounding, 2^-24: a hundred
# layers, each of which adds rounding errors of its own, reach a few times ten; cancellation in a network may reach it too, and then
# the check costs time and finds nothing.
SUSPICIOUS = 2.0**-14
SUSPICIOUS_16 = 0.1  # of a tap behind arithmetic in 16 bits, whose own rounding is larger


@dataclass(frozen=True)
class Marked:
    """The taps of a call with their marks, one sentence a wrong kernel, and the names of the results that depend on one."""

    taps: list[RecordedTap]
    faults: list[str]
    unreliable: frozenset[str]


def mark_kernel_faults(
    call: Call, taps: Sequence[RecordedTap], given: Sequence[tuple[Any, Any]], read: ReadVariable, unreliable: frozenset[str]
) -> Marked:
    """Looks for wrong kernels in a call that was run, where the floor of one of its `taps` is too large for rounding.

    `given`: the call's inputs in the graph's precision and in float64; `unreliable`: the values of earlier calls that depend on a wrong
    kernel. The first tap that depends on a wrong kernel gets the sentence that names it.
    """
    flow = flow_of(call.function)
    behind = flow.depending_on([x.name for x, feed in zip(call.function.inputs, call.feeds, strict=True) if feed.name in unreliable])
    faults: list[str] = []
    sentences: dict[int, list[str]] = {}
    if any(tap.floor > (SUSPICIOUS if tap.unit <= UNIT else SUSPICIOUS_16) for tap in taps):
        for fault in wrong_kernels(call.function, [single for single, _ in given], read):
            depending = flow.depending_on([fault.node])
            first = next((i for i, tap in enumerate(taps) if _node(flow, tap.node) in depending), None)
            if first is not None:
                sentences.setdefault(first, []).append(str(fault))
                faults.append(str(fault))
                behind |= depending
    marked = [
        dataclasses.replace(tap, kernel_fault="; ".join(sentences.get(i, ())), kernel_fault_upstream=_node(flow, tap.node) in behind)
        for i, tap in enumerate(taps)
    ]
    results = zip(call.gives, call.function.outputs, strict=True)
    return Marked(marked, faults, frozenset(name for name, ref in results if _node(flow, ref) in behind))


def _node(flow: Flow, ref: str) -> str:
    return name_of(resolve(flow.graph, ref))
