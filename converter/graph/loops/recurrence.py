"""Recurrent layers in a graph: a loop, or a cell that the graph repeats for each step; and where their results leave them.

A loop (While) gives its counter, the list of the steps' outputs and the last states. What a layer answers for are those of them that
the graph uses: the sequence, the last output, a state. The calls of a repeated cell are calls of one layer, each of which takes the
state of the one before and new data; together they are one call, which ends where all steps meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stylexport.converter.graph.dataflow import END, Flow, name_of
from stylexport.converter.graph.pointwise import FLOATS, SILENT
from stylexport.converter.graph.protos import DTYPES

LOOPS = ("While", "StatelessWhile")
# What makes a tensor [T, N, ...] of a loop's list of outputs.
_STACKS = frozenset("TensorListStack TensorListGather TensorListConcatV2 TensorArrayGatherV3 TensorArrayConcatV3".split())
_ITEMS = frozenset("TensorListGetItem TensorListPopBack TensorArrayReadV3".split())
# What takes the steps from [T, N, ...] to [N, T, ...], or one step of them.
_LIST, _VARIANT = "list", 21  # tensorflow/core/framework/types.proto: DT_VARIANT
_ARRANGING = frozenset("Transpose StridedSlice GatherV2 Squeeze".split())


def unrolled(flow: Flow, calls: Sequence[Sequence[str]]) -> list[list[str]]:
    """The entries of each call of a layer, with the steps of a recurrent layer as one call where their results meet."""
    joined: list[list[list[str]]] = []
    for call in sorted(calls, key=lambda call: max(flow.place[entry] for entry in call)):
        if joined and _is_next_step(flow, joined[-1][-1], call):
            joined[-1].append(list(call))
        else:
            joined.append([list(call)])
    found = []
    for steps in joined:
        entries = [entry for step in steps for entry in step]
        found += [entries] if len(steps) == 1 or flow.meet(entries) != END else steps
    return found


def results(flow: Flow, meeting: str, is_recurrent: bool) -> list[str]:
    """The references at which a layer gives its results, the sequence of all steps first. Of a layer that is no loop: `meeting` alone."""
    op = flow.graph.nodes[meeting].op
    if op in LOOPS:
        found = [result for ref in _used_outputs(flow, meeting) for result in _read(flow, ref)]
        return sorted(dict.fromkeys(found), key=lambda ref: name_of(ref) == meeting) or [meeting]
    return list(_arranged(flow, meeting)) if is_recurrent and op == "Pack" else [meeting]


def _is_next_step(flow: Flow, step: Sequence[str], call: Sequence[str]) -> bool:
    """Whether `call` takes what `step` computed, and beside it data of its own."""
    behind, before = flow.depending_on(step), flow.needed_by(step)
    if not any(entry in behind for entry in call):
        return False
    if any(entry not in behind for entry in call):
        return True
    taken = {ref for name in before for ref in flow.inputs[name]}
    return any(name_of(ref) not in behind and ref not in taken for entry in call for ref in _joined_operands(flow, entry))


def _joined_operands(flow: Flow, entry: str) -> Iterator[str]:
    """The data that is concatenated to what an entry takes."""
    for name in flow.data_inputs(entry):
        while flow.graph.nodes[name].op in SILENT and len(flow.data_inputs(name)) == 1:
            (name,) = flow.data_inputs(name)
        if flow.graph.nodes[name].op == "ConcatV2":
            yield from (ref for ref in flow.inputs[name] if name_of(ref) in flow.data)


def _used_outputs(flow: Flow, loop: str) -> list[str]:
    """The outputs of a loop that something takes: lists, and tensors of floating point."""
    types = [DTYPES.get(kind, _LIST if kind == _VARIANT else "") for kind in flow.graph.nodes[loop].attr["T"].list.type]
    refs = [f"{loop}:{i}" if i else loop for i in range(len(types))]
    taken = {ref for name in flow.inputs for ref in flow.inputs[name]} | set(flow.outputs)
    return [ref for ref, kind in zip(refs, types, strict=True) if ref in taken and (kind in FLOATS or kind == _LIST)]


def _users(flow: Flow, ref: str) -> list[str]:
    return [name for name in flow.consumers.get(name_of(ref), ()) if ref in flow.inputs[name]]


def _read(flow: Flow, ref: str) -> Iterator[str]:
    """What is read of one output of a loop."""
    lists = [name for name in _users(flow, ref) if flow.graph.nodes[name].op in _STACKS | _ITEMS]
    for name in lists:
        if flow.graph.nodes[name].op in _STACKS:
            yield from _arranged(flow, name)
        else:
            yield name
    if not lists:
        yield ref


def _arranged(flow: Flow, name: str) -> Iterator[str]:
    """The steps [T, N, ...] as the graph uses them: with the samples first, or one of them."""
    users = _users(flow, name)
    if users and name not in flow.outputs and all(flow.graph.nodes[user].op in _ARRANGING for user in users):
        yield from users
    else:
        yield name
