"""How one node is evaluated: what holds state or steers by the tables here, everything else by its kernel.

A branch or a loop runs a function of the graph's library in the same precision. Nothing that draws random numbers or keeps state from
one call to the next can be replayed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.converter.formats.savedmodel.functions import Function, is_random
from stylexport.converter.graph.graph import PASS_THROUGH, Node
from stylexport.converter.graph.schedule import plan
from stylexport.reference_tf.replay.evaluator import DEAD, Handle, Lane, in_words
from stylexport.reference_tf.replay.execute_op import call, constant, definition, tensor
from stylexport.reference_tf.replay.kernels import compute

Step = Callable[[Lane, Node, Sequence[Any]], Sequence[Any]]


def step(lane: Lane, node: Node) -> None:
    """Evaluate a node whose inputs are there. Raises BadInput, naming node and operation, where that cannot be done."""
    inputs = [lane.value(ref) for ref in node.inputs]
    if node.op != "Merge" and any(value is DEAD for value in inputs):
        lane.keep(node, [DEAD])
        return
    try:
        lane.keep(node, _outputs(lane, node, inputs))
    except (tf.errors.OpError, ValueError, TypeError, KeyError, BadInput) as error:
        if isinstance(error, BadInput) and error.__cause__ is not None:
            raise  # from inside a branch or a loop, which named the node
        said = f"{node.name} ({node.op}) cannot be replayed{in_words(lane.precision)}: {_first_line(error)}"
        raise BadInput(f"{said}; choose a function of the model that does without it") from error


def run(function: Function, given: Sequence[Any], outer: Lane) -> list[Any]:
    """The outputs of a function of the library, in the precision of the lane that calls it."""
    lane = Lane(function, plan(function.graph, function.outputs), given, outer.read, outer.precision)
    for node in lane.plan.nodes:
        step(lane, node)
        lane.release(node)
    return [lane.value(ref) for ref in function.outputs]


def _outputs(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    if node.name in lane.given:
        return [lane.given[node.name]]
    if node.op in STEPS:
        return STEPS[node.op](lane, node, inputs)
    if is_random(node.op):
        raise BadInput("it draws random numbers, which no other implementation draws alike")
    if definition(node.op).is_stateful:
        raise BadInput("it keeps state that is not in the file")
    return compute(node, inputs, lane.precision)


def _first_line(error: Exception) -> str:
    """TensorFlow's own words without its marks of places."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    return (
        re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*?\]", "", text.strip()).splitlines()[0].rstrip(" .,;:") if text.strip() else type(error).__name__
    )


def _same(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return inputs if node.op == "IdentityN" else inputs[:1]


def _none(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return ()


def _constant(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [constant(node.attr["value"].tensor, lane.precision)]


def _placeholder(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    raise BadInput("it is no input of the function, so that nothing gives its value")


def _handle(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    if node.name not in lane.function.graph.keys:
        raise BadInput("the file does not hold this variable's value")
    return [Handle(lane.function.graph.keys[node.name])]


def _variable(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """TensorFlow 1's variables stand for their value."""
    return [_read(lane, handle) for handle in _handle(lane, node, inputs)]


def _read(lane: Lane, handle: Any) -> Any:
    if not isinstance(handle, Handle):
        raise BadInput("it reads what is no variable of the file")
    return tensor(lane.read(handle.key), lane.precision)


def _read_variable(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [_read(lane, inputs[0])]


def _gather(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Rows of a variable."""
    batch = node.attr["batch_dims"].i if "batch_dims" in node.attr else 0
    return [tf.gather(_read(lane, inputs[0]), inputs[1], axis=batch, batch_dims=batch)]


def _variable_shape(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return call("Shape", [_read(lane, inputs[0])], {"out_type": node.attr["out_type"].type} if "out_type" in node.attr else {})


def _if(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    branch = "then_branch" if bool(np.asarray(inputs[0]).all()) else "else_branch"
    return run(_body(lane, node, branch), inputs[1:], lane)


def _while(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    goes_on, body, state = _body(lane, node, "cond"), _body(lane, node, "body"), list(inputs)
    while bool(np.asarray(run(goes_on, state, lane)[0]).all()):
        state = run(body, state, lane)
    return state


def _body(lane: Lane, node: Node, attr: str) -> Function:
    if lane.function.body is None:
        raise BadInput("the functions that it runs are not known")
    return lane.function.body(node.attr[attr].func.name)


def _switch(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [DEAD, inputs[0]] if bool(inputs[1]) else [inputs[0], DEAD]


def _merge(lane: Lane, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    alive = [index for index, value in enumerate(inputs) if value is not DEAD]
    return [inputs[alive[0]], tf.constant(alive[0])] if alive else [DEAD]


STEPS: Mapping[str, Step] = {
    **dict.fromkeys(PASS_THROUGH - {"ReadVariableOp", "Enter"}, _same),
    "IdentityN": _same,
    "Print": _same,
    "Assert": _none,
    "NoOp": _none,
    "Const": _constant,
    "Placeholder": _placeholder,
    "PlaceholderV2": _placeholder,
    "VarHandleOp": _handle,
    "Variable": _variable,
    "VariableV2": _variable,
    "ReadVariableOp": _read_variable,
    "ResourceGather": _gather,
    "VariableShape": _variable_shape,
    "If": _if,
    "StatelessIf": _if,
    "While": _while,
    "StatelessWhile": _while,
    "Switch": _switch,
    "Merge": _merge,
}
