"""A pickle read as data: no class is looked up, no function is called, whatever the file asks for.

A pickle (`Lib/pickletools.py` documents every opcode, protocols 0 to 5) is a program for a stack machine. Python's own unpickler
runs it and imports and calls what it names. This one builds numbers, text, bytes and plain containers, and puts an `Instance`
where the program would have called something: what was named, with which arguments, and which state and items it was given.
Only names in ADMITTED are accepted; the meaning of an `Instance` is for `pickle_values` to say. Time and memory are linear in the
file's size: no length is believed beyond it, and large bytes stay in the file's map.
"""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from mmap import mmap
from pathlib import Path
from typing import Any

from stylexport.common.errors import DamagedFile, HostileFile

NUMPY = frozenset(
    {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("ml_dtypes", "bfloat16"),
    }
)
# Plain containers, and bytes as protocol 2 spells them.
PLAIN = frozenset({("collections", "OrderedDict"), ("_codecs", "encode"), ("dnnlib.util", "EasyDict")})
# What pickle.dumps makes of tf.Variable, tf.Tensor and keras.Variable, and NVIDIA's TF networks: named here, never imported.
TENSORFLOW = frozenset(
    {
        ("functools", "partial"),
        ("tensorflow.python.ops.resource_variable_ops", "ResourceVariable"),
        ("tensorflow.python.framework.ops", "convert_to_tensor"),
        ("tensorflow.python.framework.dtypes", "as_dtype"),
        ("keras.src.backend", "Variable"),
        ("keras.src.backend.tensorflow.core", "Variable"),
        ("dnnlib.tflib.network", "Network"),
    }
)
ADMITTED = NUMPY | PLAIN | TENSORFLOW

MAPPED = 4096  # bytes objects from this size on stay in the file's map
MAX_LINE = 64 << 20  # bytes of a text argument (protocol 0)
MAX_NUMBER = 1024  # bytes of one integer; none in a network needs more than 8

Dotted = tuple[str, str]


@dataclass(frozen=True)
class Global:
    """A name that the pickle asked for: (module, name)."""

    dotted: Dotted


@dataclass(eq=False)
class Instance:
    """What the pickle would have made by calling `function` with `args`, and then given `state` and `items` (key, value)."""

    function: Any
    args: tuple[Any, ...]
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)


def read_pickle(path: Path, data: mmap | bytes, start: int = 0) -> Any:
    """The value that a pickle describes. Raises HostileFile for names not admitted, DamagedFile for what is no pickle."""
    machine = _Machine(path, data, start)
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error, OverflowError, AttributeError, MemoryError) as error:
        where = f"no valid pickle at byte {machine.at} ({type(error).__name__})"
        raise DamagedFile(path, where) from None


class _Machine:
    """Opcodes, the stack, the marks in it, and the memo."""

    def __init__(self, path: Path, data: mmap | bytes, start: int) -> None:
        self.path, self.data, self.view, self.at = path, data, memoryview(data), start
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while (code := self.take(1)) != b".":
            step = _STEPS.get(code)
            if step is None:
                raise HostileFile(self.path, f"pickle opcode {code!r} at byte {self.at - 1} is no part of arrays and containers")
            step(self)
        return self.stack.pop()

    def take(self, size: int) -> bytes:
        return bytes(self.slice(size))

    def slice(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.data) - self.at:
            raise DamagedFile(self.path, f"pickle ends at byte {len(self.data)}, inside the value at byte {self.at}")
        piece = self.view[self.at : self.at + size]
        self.at += size
        return piece

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.slice(size), "little")

    def blob(self, width: int) -> bytes | memoryview:
        size = self.unsigned(width)
        return self.slice(size) if size >= MAPPED else self.take(size)

    def line(self, limit: int = MAX_LINE) -> bytes:
        end = self.data.find(b"\n", self.at, self.at + limit)
        if end < 0:
            raise DamagedFile(self.path, f"pickle has no end of line within {limit} bytes of byte {self.at}")
        text = self.take(end - self.at)
        self.at += 1
        return text

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def admit(self, module: Any, name: Any) -> None:
        if (module, name) not in ADMITTED:
            raise HostileFile(
                self.path,
                f"asks for {module}.{name}, which could run code",
                "export it as .npz with numpy.savez from the program that wrote it",
            )
        self.push(Global((module, name)))

    def call(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global | Instance) or not isinstance(args, tuple):
            raise HostileFile(self.path, f"calls {type(function).__name__}, which is no admitted function")
        self.push(Instance(function, args))

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], Instance):
            raise HostileFile(self.path, f"sets the state of {type(self.stack[-1]).__name__}, which has none")
        self.stack[-1].state = state

    def set_items(self, flat: Sequence[Any]) -> None:
        target, pairs = self.stack[-1], list(zip(flat[::2], flat[1::2], strict=True))
        for key, _ in pairs:
            if not isinstance(key, str | bytes | int | float | None):
                raise HostileFile(self.path, f"a dictionary's key is a {type(key).__name__}, not text or a number")
        if isinstance(target, Instance):
            target.items += pairs
        else:
            target.update(pairs)

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise HostileFile(self.path, f"appends to {type(target).__name__}, which is no list")
        target += items

    def integer(self, size: int) -> None:
        if size > MAX_NUMBER:
            raise HostileFile(self.path, f"holds an integer of {size} bytes")
        self.push(int.from_bytes(self.slice(size), "little", signed=True))

    def text_integer(self) -> None:
        text = self.line(MAX_NUMBER).rstrip(b"L")
        self.push(text == b"01" if text in (b"00", b"01") else int(text))  # pickletools: I00 and I01 are truth values


def _text(machine: _Machine, width: int) -> None:
    machine.push(str(machine.slice(machine.unsigned(width)), "utf-8", "surrogatepass"))


def _latin(machine: _Machine, width: int) -> None:
    machine.push(str(machine.slice(machine.unsigned(width)), "latin-1"))


def _quoted(machine: _Machine) -> None:
    """Python 2's str as a literal; like numpy, taken as Latin-1, which keeps every byte."""
    machine.push(codecs.escape_decode(machine.line()[1:-1])[0].decode("latin-1"))


def _tuple(machine: _Machine, size: int) -> None:
    items = tuple(machine.stack[len(machine.stack) - size :]) if len(machine.stack) >= size else None
    if items is None:
        raise IndexError(size)
    del machine.stack[len(machine.stack) - size :]
    machine.push(items)


def _dictionary(machine: _Machine) -> None:
    items = machine.since_mark()
    machine.push({})
    machine.set_items(items)


def _pair(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items((key, value))


def _global(machine: _Machine) -> None:
    machine.admit(machine.line(1024).decode("utf-8"), machine.line(1024).decode("utf-8"))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.admit(module, name)


def _set(machine: _Machine) -> None:
    machine.push([])  # order is all that a reader of tensors could want of a set


def _protocol(machine: _Machine) -> None:
    if (protocol := machine.unsigned(1)) > pickle.HIGHEST_PROTOCOL:
        raise ValueError(protocol)


def _frame(machine: _Machine) -> None:
    if (size := machine.unsigned(8)) > len(machine.data) - machine.at:
        raise ValueError(size)


def _pop(machine: _Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


def _pop_mark(machine: _Machine) -> None:
    machine.since_mark()


def _memo(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


_STEPS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: _protocol,
    pickle.FRAME: _frame,
    pickle.POP: _pop,
    pickle.POP_MARK: _pop_mark,
    pickle.MARK: _Machine.mark,
    pickle.DUP: lambda m: m.push(m.stack[-1]),
    pickle.NONE: lambda m: m.push(None),
    pickle.NEWTRUE: lambda m: m.push(True),
    pickle.NEWFALSE: lambda m: m.push(False),
    pickle.INT: _Machine.text_integer,
    pickle.LONG: _Machine.text_integer,
    pickle.BININT: lambda m: m.integer(4),
    pickle.BININT1: lambda m: m.push(m.unsigned(1)),
    pickle.BININT2: lambda m: m.push(m.unsigned(2)),
    pickle.LONG1: lambda m: m.integer(m.unsigned(1)),
    pickle.LONG4: lambda m: m.integer(m.unsigned(4)),
    pickle.FLOAT: lambda m: m.push(float(m.line(MAX_NUMBER))),
    pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.slice(8))[0]),
    pickle.STRING: _quoted,
    pickle.BINSTRING: lambda m: _latin(m, 4),
    pickle.SHORT_BINSTRING: lambda m: _latin(m, 1),
    pickle.UNICODE: lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    pickle.BINUNICODE: lambda m: _text(m, 4),
    pickle.SHORT_BINUNICODE: lambda m: _text(m, 1),
    pickle.BINUNICODE8: lambda m: _text(m, 8),
    pickle.BINBYTES: lambda m: m.push(m.blob(4)),
    pickle.SHORT_BINBYTES: lambda m: m.push(m.blob(1)),
    pickle.BINBYTES8: lambda m: m.push(m.blob(8)),
    pickle.BYTEARRAY8: lambda m: m.push(m.blob(8)),
    pickle.EMPTY_LIST: lambda m: m.push([]),
    pickle.LIST: lambda m: m.push(m.since_mark()),
    pickle.APPEND: lambda m: m.extend([m.stack.pop()]),
    pickle.APPENDS: lambda m: m.extend(m.since_mark()),
    pickle.EMPTY_TUPLE: lambda m: m.push(()),
    pickle.TUPLE: lambda m: m.push(tuple(m.since_mark())),
    pickle.TUPLE1: lambda m: _tuple(m, 1),
    pickle.TUPLE2: lambda m: _tuple(m, 2),
    pickle.TUPLE3: lambda m: _tuple(m, 3),
    pickle.EMPTY_DICT: lambda m: m.push({}),
    pickle.DICT: _dictionary,
    pickle.SETITEM: _pair,
    pickle.SETITEMS: lambda m: m.set_items(m.since_mark()),
    pickle.EMPTY_SET: _set,
    pickle.ADDITEMS: lambda m: m.extend(m.since_mark()),
    pickle.FROZENSET: lambda m: m.push(tuple(m.since_mark())),
    pickle.GET: lambda m: m.push(m.memo[int(m.line(MAX_NUMBER))]),
    pickle.BINGET: lambda m: m.push(m.memo[m.unsigned(1)]),
    pickle.LONG_BINGET: lambda m: m.push(m.memo[m.unsigned(4)]),
    pickle.PUT: lambda m: _memo(m, int(m.line(MAX_NUMBER))),
    pickle.BINPUT: lambda m: _memo(m, m.unsigned(1)),
    pickle.LONG_BINPUT: lambda m: _memo(m, m.unsigned(4)),
    pickle.MEMOIZE: lambda m: _memo(m, len(m.memo)),
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _Machine.call,
    pickle.NEWOBJ: _Machine.call,
    pickle.BUILD: _Machine.build,
}
