"""Pickles read without running them: Python's own unpickler, which finds stand-ins instead of classes and functions.

A pickle names classes and functions by (module, name), and loading it calls them. Here only the names below are found, and what is
found is a `StandIn` that keeps its arguments and state; any other name is refused. `meaning` then says what a stand-in stands for.

numpy pickles an array as `_reconstruct(ndarray, (0,), b"b")` with the state (version, shape, dtype, Fortran order, bytes), or
since protocol 5 as `_frombuffer(bytes, dtype, shape, order)` (numpy/core/src/multiarray/methods.c, numpy/core/numeric.py). A
dtype is `dtype("f4", align, copy)`, the byte order in its state. TensorFlow pickles a variable as a `functools.partial` of
ResourceVariable with `initial_value`, `name` and `trainable`, called without arguments (resource_variable_ops.py, `__reduce__`). PyTorch
pickles a tensor as `_rebuild_tensor_v2(storage, offset, sizes, strides, ...)` (torch_storage.py). NVIDIA's networks are pickled as
`dnnlib.tflib.network.Network` with a state, those in PyTorch as `_reconstruct_persistent_obj(meta)`; both carry the text of a module,
which is not looked at (nvidia_networks.py).
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stylexport.common.errors import DamagedFile, HostileFile
from stylexport.common.types import Array
from stylexport.converter.formats.damage import damaged
from stylexport.converter.graph.tensor_proto import BFLOAT16

# What pickle and pickletools raise on damaged bytes; nothing else may run while these are caught.
_PICKLE_ERRORS = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)
# Opcodes whose argument makes the unpickler allocate that much, whatever the file holds.
_ALLOCATING = frozenset(("PUT", "BINPUT", "LONG_BINPUT", "FRAME"))
_NUMBERS = re.compile(r"[fiubcSU][1-9]\d{0,6}")


class StandIn:
    """What a pickle would have made by calling a class or function of this name: its arguments, and the state it was given."""

    args: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *args: Any) -> StandIn:  # noqa: D102
        made = super().__new__(cls)
        made.args = args
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self) -> StandIn:
        """A partial that is called stands for what it would make."""
        return self


def _stand_ins(table: dict[str, str]) -> dict[tuple[str, str], type]:
    kinds = {name: type(name, (StandIn,), {}) for names in table.values() for name in names.split()}
    return {(module, name): kinds[name] for module, names in table.items() for name in names.split()}


# (module, name) -> what stands for it
_FOUND: dict[tuple[str, str], type] = {
    ("collections", "OrderedDict"): dict,
    ("dnnlib.util", "EasyDict"): dict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch", "Size"): tuple,
    **_stand_ins(
        {
            "numpy": "ndarray dtype",
            "numpy.core.multiarray": "_reconstruct scalar",
            "numpy._core.multiarray": "_reconstruct scalar",
            "numpy.core.numeric": "_frombuffer",
            "numpy._core.numeric": "_frombuffer",
            "ml_dtypes": "bfloat16",
            "_codecs": "encode",  # bytes, as protocol 2 spells them
            # What pickle.dumps makes of tf.Variable, tf.Tensor and keras.Variable, and NVIDIA's TF networks.
            "functools": "partial",
            "tensorflow.python.ops.resource_variable_ops": "ResourceVariable",
            "tensorflow.python.framework.ops": "convert_to_tensor",
            "tensorflow.python.framework.dtypes": "as_dtype",
            "keras.src.backend": "Variable",
            "keras.src.backend.tensorflow.core": "Variable",
            "dnnlib.tflib.network": "Network",
            "torch_utils.persistence": "_reconstruct_persistent_obj",
            "torch._utils": "_rebuild_tensor_v2 _rebuild_parameter",
            "torch.storage": "_load_from_bytes",
        }
    ),
}
# Modules that programs carry inside a package of their own ("src.torch_utils.persistence").
_CARRIED = re.compile(r"\w[\w.]*\.(?=(?:dnnlib|torch_utils)\.)")


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # of Python 2's str; as numpy does, it keeps every byte
        self._path = path

    def find_class(self, module: str, name: str) -> type:
        known = _FOUND.get((_CARRIED.sub("", module, count=1), name))
        if known is None:
            remedy = "export it as .npz with numpy.savez from the program that wrote it"
            raise HostileFile(self._path, f"asks for {module}.{name}, which could run code", remedy)
        return known


def read_pickle(path: Path, file: BinaryIO, unpickler: Callable[[Path, BinaryIO], pickle.Unpickler] = _Unpickler) -> Any:
    """The value of the pickle that begins where `file` stands, with stand-ins in it; `unpickler(path, file)` says which.

    Raises HostileFile for names that are not known and for sizes that the file cannot hold, DamagedFile where the bytes are not a pickle.
    """
    start = file.tell()
    with damaged(path, "be read as a pickle", _PICKLE_ERRORS):
        sizes = [(opcode.name, int(value or 0)) for opcode, value, _ in pickletools.genops(file) if opcode.name in _ALLOCATING]
        end = file.seek(0, 2)
    for name, value in sizes:
        if value > end:
            raise HostileFile(path, f"asks for memory by {name} {value}, more than a file of {end} bytes can use")
    file.seek(start)
    with damaged(path, "be read as a pickle", _PICKLE_ERRORS):
        return unpickler(path, file).load()


@dataclass(frozen=True)
class Named:
    """A TensorFlow or Keras variable: its name without ":0", its value, and whether it is trained."""

    name: str
    value: Any
    trainable: bool | None = None


@dataclass(frozen=True)
class Network:
    """NVIDIA's pickled TF network: a name, (name, array) pairs, networks inside, and its function's name and arguments."""

    name: str
    variables: Any
    components: Any
    function: str = ""
    arguments: Any = None
    version: Any = None


@dataclass(frozen=True)
class Persistent:
    """An object of NVIDIA's PyTorch programs: its class's name, and its attributes (of a module also parameters, buffers and modules)."""

    kind: str
    state: dict[Any, Any]


def meaning(path: Path, value: Any) -> Any:
    """What a stand-in stands for: an array (read-only), a Named, a Network, a Persistent, bytes or a list; all else is itself.

    Raises DamagedFile where arguments or state do not fit.
    """
    if not isinstance(value, StandIn):
        return value
    match type(value).__name__, value.args, value.state:
        case "_reconstruct", _, (_, shape, dtype, fortran, raw):
            return _array(path, shape, dtype, "F" if fortran else "C", raw)
        case "_frombuffer", (raw, dtype, shape, order), _:
            return _array(path, shape, dtype, order, raw)
        case "scalar", (dtype, raw), _:
            return _array(path, (), dtype, "C", raw)
        case "encode", (str(text), "latin1" | "latin-1"), _:
            return _latin(path, text)
        case "convert_to_tensor", (tensor, *_), _ if type(tensor).__name__ != "convert_to_tensor":
            return meaning(path, tensor)
        case "partial", _, (_, _, {"name": str(name), "initial_value": initial, **given}, _):
            trained = given.get("trainable")
            return Named(name.removesuffix(":0"), initial, trained if isinstance(trained, bool) else None)
        case "Variable", _, {"_path": name, "_value": initial, "_trainable": trainable}:  # Keras 3
            return Named(str(name), initial, bool(trainable))
        case "Network", _, dict(state):
            parts = (state.get("variables", []), state.get("components", {}), str(state.get("build_func_name", "")))
            return Network(str(state.get("name", "")), *parts, state.get("static_kwargs"), state.get("version"))
        case "_reconstruct_persistent_obj", ({"class_name": str(kind), "state": dict(state)},), _:
            return Persistent(kind, state)
        case "_rebuild_parameter", (tensor, *_), _ if type(tensor).__name__ == "_rebuild_tensor_v2":
            return meaning(path, tensor)
        case "_rebuild_tensor_v2", (storage, offset, sizes, strides, *_), _:
            from stylexport.converter.formats.pickled.torch_storage import strided

            return strided(path, storage, offset, sizes, strides)
        case name, _, _:
            raise DamagedFile(path, f"holds a malformed {name}")


def _array(path: Path, shape: Any, dtype: Any, order: Any, raw: Any) -> Array | list[Any] | Any:
    """The array; of objects, their nested list (the object itself where the array has no axes)."""
    kind, raw = _dtype(path, dtype), meaning(path, raw)
    if not (isinstance(shape, tuple) and all(type(extent) is int and extent >= 0 for extent in shape)):
        raise DamagedFile(path, "holds an array whose shape is not a tuple of sizes")
    if kind is None:
        if not isinstance(raw, list) or prod(shape) != len(raw):
            raise DamagedFile(path, f"an array of objects declares {shape} and holds another number of them")
        return raw if shape else raw[0]
    raw = _latin(path, raw) if isinstance(raw, str) else raw
    if not isinstance(raw, bytes | bytearray) or len(raw) != prod(shape) * kind.itemsize:
        held = len(raw) if isinstance(raw, bytes | bytearray) else "no"
        raise DamagedFile(path, f"an array declares {shape} of {kind.name} and holds {held} bytes")
    with damaged(path, "make an array", (ValueError, OverflowError)):
        values = np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C")
    values = values if kind.isnative else values.astype(kind.newbyteorder("="))
    values.flags.writeable = False
    return values


def _latin(path: Path, text: str) -> bytes:
    """Text of Latin-1 characters, which stands for bytes."""
    with damaged(path, "take a text as bytes", (UnicodeEncodeError,)):
        return text.encode("latin-1")


def _dtype(path: Path, value: Any) -> np.dtype[Any] | None:
    """The dtype of numbers, truth values or text of fixed length; None for Python objects."""
    kind, args = type(value).__name__, value.args if isinstance(value, StandIn) and value.args else (None,)
    state = value.state if isinstance(value, StandIn) else None
    if kind == "dtype" and args[0] in ("O", "O8", "O4"):
        return None
    if kind == "dtype" and args[0] is _FOUND["ml_dtypes", "bfloat16"]:
        return BFLOAT16
    order: Any = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
    if kind != "dtype" or not isinstance(args[0], str) or not _NUMBERS.fullmatch(args[0]) or order not in ("<", ">", "|", "="):
        raise DamagedFile(path, f"holds an array of no known numbers ({args[0]!r:.40})")
    with damaged(path, "make an array", (TypeError, ValueError)):
        return np.dtype(args[0]).newbyteorder(order)
