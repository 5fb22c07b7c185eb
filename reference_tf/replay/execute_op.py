"""Executes one operation of a saved graph by TensorFlow's own kernel, with the node's attributes, in a chosen precision.

A precision replaces data types wherever the operation names one: GRAPH leaves them as saved, SINGLE widens half precisions to float32,
DOUBLE makes every floating-point type float64. Integers, booleans and strings stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.python.eager import context
from tensorflow.python.eager import execute as eager_execute
from tensorflow.python.framework import op_def_registry

from stylexport.common.errors import BadInput
from stylexport.converter.graph.graph import Node

Tensor = Any  # tensorflow ships no types
Attributes = dict[str, Any]
Precision = Mapping[int, int]

GRAPH: Precision = {}
SINGLE: Precision = {types_pb2.DT_HALF: types_pb2.DT_FLOAT, types_pb2.DT_BFLOAT16: types_pb2.DT_FLOAT}
DOUBLE: Precision = {
    types_pb2.DT_HALF: types_pb2.DT_DOUBLE,
    types_pb2.DT_BFLOAT16: types_pb2.DT_DOUBLE,
    types_pb2.DT_FLOAT: types_pb2.DT_DOUBLE,
    types_pb2.DT_COMPLEX64: types_pb2.DT_COMPLEX128,
}


def definition(op: str) -> Any:
    """TensorFlow's OpDef. Raises BadInput for an operation that it does not have."""
    found = op_def_registry.get(op)
    if found is None:
        raise BadInput(f"TensorFlow {tf.__version__} has no operation {op}; install the package that the model was saved with")
    return found


def attributes(node: Node, precision: Precision) -> Attributes:
    """The node's attributes as Python values, in a precision; those that the file leaves out at the operation's defaults."""
    found: Attributes = {}
    for attr in definition(node.op).attr:
        if attr.name in node.attr:
            found[attr.name] = _value(node.attr[attr.name], attr.type, precision)
        elif attr.HasField("default_value"):
            found[attr.name] = _value(attr.default_value, attr.type, precision)
    return found


def execute(op: str, inputs: Sequence[Tensor], attrs: Attributes) -> list[Tensor]:
    """The operation's outputs. Raises BadInput where it can only give float32 and float64 is asked for, and TensorFlow's errors."""
    known = definition(op)
    if tf.float64 in (value.dtype for value in inputs) and any(out.type == types_pb2.DT_FLOAT for out in known.output_arg):
        raise BadInput("it has no form in float64")
    count = 0
    for out in known.output_arg:
        if out.number_attr:
            count += attrs[out.number_attr]
        else:
            count += len(attrs[out.type_list_attr]) if out.type_list_attr else 1
    pairs = tuple(item for pair in attrs.items() for item in pair)
    results = eager_execute.execute(op, count, inputs=list(inputs), attrs=pairs, ctx=_context())
    return list(results) if count else []


def constant(proto: Any, precision: Precision) -> Tensor:
    """A TensorProto's value in a precision."""
    return tensor(tf.make_ndarray(tensor_pb2.TensorProto.FromString(proto.SerializeToString())), precision)


def tensor(value: NDArray[Any], precision: Precision) -> Tensor:
    """An array as a tensor in a precision."""
    made = tf.convert_to_tensor(value)
    wanted = precision.get(made.dtype.as_datatype_enum)
    return made if wanted is None else tf.cast(made, tf.as_dtype(wanted))


def as_array(value: Any) -> NDArray[Any]:
    """A tensor as an array that shares its memory; an array as it is. (numpy cannot make one of TensorFlow's bfloat16 scalars itself.)"""
    return np.asarray(value.numpy() if isinstance(value, tf.Tensor) else value)


def _context() -> Any:
    found = context.context()
    found.ensure_initialized()
    return found


def _value(attr: Any, kind: str, precision: Precision) -> Any:
    if kind.startswith("list("):
        return [_plain(item, kind[5:-1], precision) for item in getattr(attr.list, _FIELDS[kind[5:-1]])]
    if kind == "tensor":
        return attr.tensor
    return _plain(getattr(attr, _FIELDS[kind]), kind, precision)


def _plain(value: Any, kind: str, precision: Precision) -> Any:
    if kind == "type":
        return precision.get(value, value)
    if kind == "shape":
        return None if value.unknown_rank else [dim.size for dim in value.dim]
    return value


# The type of an attribute in an OpDef -> the field of AttrValue with its value.
_FIELDS = {"string": "s", "int": "i", "float": "f", "bool": "b", "type": "type", "shape": "shape", "tensor": "tensor", "func": "func"}
