"""The value of a TensorProto, as a graph holds its constants. Source: tensorflow/core/framework/tensor.proto."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array
from stylexport.converter.graph import protos

# numpy itself has no bfloat16.
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

# dtype -> the field of a TensorProto that holds values written one by one
FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "float16": "half_val",
    "bfloat16": "half_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a name as in `protos.DTYPES`, "bfloat16" included ("string" is not)."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)


def shape_of(tensor: Any) -> tuple[int, ...]:
    """The shape of a TensorProto."""
    return tuple(dim.size for dim in tensor.tensor_shape.dim)


def decode_tensor(tensor: Any, where: str) -> Array:
    """The value of a TensorProto, in its own shape and dtype. `where` names the file and the node in errors.

    A single value stands for all elements, as TensorFlow writes constants that repeat one. Raises BadInput for a dtype that holds no
    numbers, DamagedFile where the values do not fill the shape.
    """
    name = protos.DTYPES.get(tensor.dtype, "unknown")
    shape = shape_of(tensor)
    count = int(np.prod(shape, dtype=object))
    if name not in FIELDS:
        raise BadInput(f"{where}: a constant of data type {name} holds no weights")
    dtype = numpy_dtype(name)
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize or any(n < 0 for n in shape):
            raise DamagedFile(where, f"{len(tensor.tensor_content)} bytes do not fill {name}{list(shape)}")
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = list(getattr(tensor, FIELDS[name]))
    if len(values) > count or count > 2**31 or any(n < 0 for n in shape):
        raise DamagedFile(where, f"{len(values)} values do not fill {name}{list(shape)}")
    packed = np.array(values, np.uint16).view(dtype) if FIELDS[name] == "half_val" else np.array(values, dtype)
    if not values:
        packed = np.zeros(1, dtype)
    out = np.empty(count, dtype)
    out[: len(packed)] = packed[:count]
    out[len(packed) :] = packed[-1]
    return out.reshape(shape)
