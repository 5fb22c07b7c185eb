"""How one node is evaluated: state and control flow by the table here, everything else by its kernel.

A branch or a loop runs a function of the graph's library in the same precision. An operation that draws random numbers, or keeps state
from one call to the next, cannot be replayed.
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
from stylexport.converter.graph.schedule import schedule
from stylexport.reference_tf.replay.evaluator import DEAD, Evaluator, Handle, in_words
from stylexport.reference_tf.replay.execute_op import constant, definition, execute, tensor
from stylexport.reference_tf.replay.kernels import compute
from stylexport.reference_tf.replay.tensor_arrays import TENSOR_ARRAYS

Operation = Callable[[Evaluator, Node, Sequence[Any]], Sequence[Any]]


def evaluate(evaluator: Evaluator, node: Node) -> None:
    """Evaluates a node whose inputs are there. Raises BadInput, naming node and operation, where that cannot be done."""
    inputs = [evaluator.value(ref) for ref in node.inputs]
    if node.op != "Merge" and any(value is DEAD for value in inputs):
        evaluator.keep(node, [DEAD])
        return
    try:
        evaluator.keep(node, outputs(evaluator, node, inputs))
    except (tf.errors.OpError, ValueError, TypeError, KeyError, BadInput) as error:
        if isinstance(error, BadInput) and error.__cause__ is not None:
            raise  # from inside a branch or a loop, which named the node
        problem = f"{node.name} ({node.op}) cannot be replayed{in_words(evaluator.precision)}: {_first_line(error)}"
        raise BadInput(f"{problem}; choose a function of the model that does without it") from error


def outputs(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """What a node computes of `inputs` in the evaluator's precision. Raises BadInput, and TensorFlow's errors, where it cannot."""
    if node.name in evaluator.given:
        return [evaluator.given[node.name]]
    if node.op in OPERATIONS:
        return OPERATIONS[node.op](evaluator, node, inputs)
    if is_random(node.op):
        raise BadInput("it draws random numbers, which no other implementation can repeat")
    if definition(node.op).is_stateful:
        raise BadInput("it keeps state that is not in the file")
    return compute(node, inputs, evaluator.precision)


def _run_body(function: Function, given: Sequence[Any], caller: Evaluator) -> list[Any]:
    """The outputs of a function of the library, in the precision of its caller."""
    evaluator = Evaluator(function, schedule(function.graph, function.outputs), given, caller.read, caller.precision)
    for node in evaluator.schedule.nodes:
        evaluate(evaluator, node)
        evaluator.release(node)
    return [evaluator.value(ref) for ref in function.outputs]


def _first_line(error: Exception) -> str:
    """TensorFlow's message without its notes on places in the graph."""
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    lines = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*?\]", "", text.strip()).splitlines()
    return lines[0].rstrip(" .,;:") if lines else type(error).__name__


def _same(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return inputs if node.op == "IdentityN" else inputs[:1]


def _nothing(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return ()


def _constant(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [constant(node.attr["value"].tensor, evaluator.precision)]


def _placeholder(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    raise BadInput("it is not an input of the function, so that nothing gives its value")


def _handle(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    if node.name not in evaluator.function.graph.keys:
        raise BadInput("the file does not hold this variable's value")
    return [Handle(evaluator.function.graph.keys[node.name])]


def _variable(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """TensorFlow 1's variables stand for their value."""
    return [_read(evaluator, handle) for handle in _handle(evaluator, node, inputs)]


def _read(evaluator: Evaluator, handle: Any) -> Any:
    if not isinstance(handle, Handle):
        raise BadInput("it reads something that is not a variable of the file")
    return tensor(evaluator.read(handle.key), evaluator.precision)


def _read_variable(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [_read(evaluator, inputs[0])]


def _gather(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    """Rows of a variable."""
    batch = node.attr["batch_dims"].i if "batch_dims" in node.attr else 0
    return [tf.gather(_read(evaluator, inputs[0]), inputs[1], axis=batch, batch_dims=batch)]


def _variable_shape(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    kind = {"out_type": node.attr["out_type"].type} if "out_type" in node.attr else {}
    return execute("Shape", [_read(evaluator, inputs[0])], kind)


def _if(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    branch = "then_branch" if bool(np.asarray(inputs[0]).all()) else "else_branch"
    return _run_body(_body(evaluator, node, branch), inputs[1:], evaluator)


def _while(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    goes_on, body, state = _body(evaluator, node, "cond"), _body(evaluator, node, "body"), list(inputs)
    while bool(np.asarray(_run_body(goes_on, state, evaluator)[0]).all()):
        state = _run_body(body, state, evaluator)
    return state


def _body(evaluator: Evaluator, node: Node, attr: str) -> Function:
    if evaluator.function.body is None:
        raise BadInput("the functions that it runs are not known")
    return evaluator.function.body(node.attr[attr].func.name)


def _switch(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    return [DEAD, inputs[0]] if bool(inputs[1]) else [inputs[0], DEAD]


def _merge(evaluator: Evaluator, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
    alive = [index for index, value in enumerate(inputs) if value is not DEAD]
    return [inputs[alive[0]], tf.constant(alive[0])] if alive else [DEAD]


OPERATIONS: Mapping[str, Operation] = {
    **dict.fromkeys(PASS_THROUGH - {"ReadVariableOp", "Enter"}, _same),
    "IdentityN": _same,
    "Print": _same,
    "Assert": _nothing,
    "NoOp": _nothing,
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
    **TENSOR_ARRAYS,
}
