"""What the stand-ins of `pickle_machine` mean: numpy arrays and scalars, TensorFlow variables and tensors, plain containers.

numpy pickles an array as `_reconstruct(ndarray, (0,), b"b")` with the state (version, shape, dtype, Fortran order, bytes), or
since protocol 5 as `_frombuffer(bytes, dtype, shape, order)` (numpy/core/src/multiarray/methods.c, numpy/core/numeric.py). A
dtype is `dtype("f4", align, copy)`, the byte order in its state. TensorFlow pickles a variable as a `functools.partial` of
ResourceVariable with `initial_value`, `name` and `trainable`, called with nothing (resource_variable_ops.py, `__reduce__`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import DamagedFile, HostileFile
from stylexport.converter.formats.pickled.pickle_machine import Dotted, Global, Instance
from stylexport.converter.graph.tensor_proto import BFLOAT16


@dataclass(frozen=True)
class StoredArray:
    """An array that still lies in the file: its facts, and its bytes (Latin-1 text in Python 2's pickles)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str
    raw: bytes | memoryview | str

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize

    def load(self) -> NDArray[Any]:
        """The values, read-only, in the machine's byte order; in the file's map where they can stay there."""
        raw = self.raw.encode("latin-1") if isinstance(self.raw, str) else self.raw
        values = np.frombuffer(raw, self.dtype).reshape(self.shape, order="F" if self.order == "F" else "C")
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        values.flags.writeable = False
        return values


@dataclass(frozen=True)
class Named:
    """A TensorFlow or Keras variable: its name without ":0", its values, and whether it is trained."""

    name: str
    value: Any
    trainable: bool | None = None


@dataclass(frozen=True)
class Network:
    """NVIDIA's pickled TF network: a name, (name, array) pairs, and networks inside. Its source code is left alone."""

    name: str
    variables: Any
    components: Any


def meaning(path: Path, value: Any) -> Any:
    """One level of meaning: an `Instance` becomes an StoredArray, Named, Network, dict or list; all else is itself.

    Raises DamagedFile for arguments that do not fit, HostileFile for shapes that the bytes do not fill.
    """
    if not isinstance(value, Instance):
        return value
    try:
        return _meaning(path, value)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedFile(path, f"holds a malformed {_dotted(value)} ({type(error).__name__})") from None


def _meaning(path: Path, value: Instance) -> Any:
    module, name = _dotted(value)
    if name == "OrderedDict":
        first = value.args[0] if value.args else []
        return dict([*(map(tuple, first)), *value.items])
    if name == "EasyDict":
        return dict([*(value.state or {}).items(), *value.items])
    if name == "_reconstruct":
        _, shape, dtype, fortran, raw = value.state
        return _array(path, shape, dtype, "F" if fortran else "C", raw)
    if name == "_frombuffer":
        raw, dtype, shape, order = value.args
        return _array(path, shape, dtype, order, raw)
    if name == "scalar":
        dtype, raw = value.args
        return _array(path, (), dtype, "C", raw)
    if name == "encode":
        text, encoding = value.args
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(encoding)
        return text  # as with Python 2's str: Latin-1 text stands for the bytes
    if name == "convert_to_tensor":
        return meaning(path, value.args[0])
    if name == "Network":
        state = value.state
        return Network(str(state.get("name", "")), state.get("variables", []), state.get("components", {}))
    if name == "Variable":  # Keras 3
        state = value.state
        inner = meaning(path, state["_value"])
        return Named(str(state["_path"]), inner.value if isinstance(inner, Named) else inner, bool(state["_trainable"]))
    if isinstance(value.function, Instance):
        _, _, given, _ = value.function.state
        return Named(str(given["name"]).removesuffix(":0"), meaning(path, given["initial_value"]), given.get("trainable"))
    raise HostileFile(path, f"calls {module}.{name}, which stands for no tensor or container")


def _dotted(value: Instance) -> Dotted:
    """The name called; of a called partial, the name that it wraps."""
    function: Any = value.function
    while isinstance(function, Instance):
        function = function.args[0]
    if not isinstance(function, Global):
        raise TypeError(function)
    return function.dotted


def _array(path: Path, shape: Any, dtype: Any, order: str, raw: Any) -> Any:
    """An StoredArray; of objects, their nested list (the object itself where the array has no axes)."""
    raw = meaning(path, raw)
    kind = _dtype(dtype)
    if not (isinstance(shape, tuple) and all(type(extent) is int and extent >= 0 for extent in shape)):
        raise ValueError(shape)
    if kind is None:
        if not isinstance(raw, list) or prod(shape) != len(raw):
            raise HostileFile(path, f"an array of objects declares {shape} and holds another number of them")
        return raw if shape else raw[0]
    stored = len(raw) if isinstance(raw, bytes | memoryview | str) else None
    if stored != prod(shape) * kind.itemsize:
        raise HostileFile(path, f"an array declares {shape} of {kind.name} and holds {stored} bytes")
    return StoredArray(shape, kind, order, raw)


def _dtype(value: Any) -> np.dtype[Any] | None:
    """The dtype of plain numbers, truth values or fixed-length text; None for Python objects."""
    code = value.args[0]
    if isinstance(code, Global):
        if code.dotted != ("ml_dtypes", "bfloat16"):
            raise ValueError(code)
        return BFLOAT16
    if code in ("O", "O8", "O4"):
        return None
    kind, size = code[0], int(code[1:])
    if kind not in "fiubcSU" or not 0 <= size <= 1 << 20:
        raise ValueError(code)
    byte_order = value.state[1] if value.state else "|"
    return np.dtype(code).newbyteorder(byte_order)
