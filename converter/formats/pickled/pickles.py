"""Pickled weights: lists of TF variables, (name, array) pairs, dictionaries of arrays, nested as they come.

`unpickler` reads the pickle without running it and says what its parts mean; here the parts that are tensors are found and named.
A variable that knows its name keeps it; else the way to it names it: "mapping/w", "layers[2]/kernel".
`key` is always the way. What is neither tensor nor container (text, None) is left out with a note.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.errors import BadInput, HostileFile
from stylexport.common.types import Array
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.damage import open_binary
from stylexport.converter.formats.pickled.nvidia_networks import network_objects, tensors_of
from stylexport.converter.formats.pickled.unpickler import Named, Network, Persistent, meaning, read_pickle
from stylexport.converter.formats.slots import told_apart

MAX_DEPTH = 40
MAX_VISITS = 1_000_000  # containers that hold each other many times would be endless
MAX_NOTES = 20
TEXT_HEADS = (b"(l", b"(d", b"(t", b"]q", b"}q", b"](", b"}(", b"cn")  # protocols 0 and 1: a container, or numpy


@dataclass(frozen=True)
class Leaf:
    """A tensor in a pickle: the way to it, its name, and its values."""

    key: str
    name: str
    array: Array
    trainable: bool | None = None


def looks_like_pickle(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as a pickle does (protocol 2 or later; or 0 and 1 with a container) and ends with its STOP."""
    try:
        with open(path, "rb") as file:
            head = file.read(2)
            file.seek(-1, os.SEEK_END)
            tail = file.read(1)
    except OSError:
        return False
    return tail == b"." and (head in TEXT_HEADS or (head[:1] == b"\x80" and head[1:] <= b"\x05"))


def open_pickle(path: str | os.PathLike[str]) -> PickleFile:
    """Opens a pickle of tensors. Raises HostileFile for what would run code, DamagedFile, or BadInput where it has no tensors."""
    path = Path(path)
    return from_value(path, load_pickle(path), "pickle")


def load_pickle(path: Path, start: int = 0) -> Any:
    """The value of the pickle at byte `start` of the file. Raises HostileFile, DamagedFile, or BadInput where it cannot be opened."""
    with open_binary(path) as file:
        if not os.fstat(file.fileno()).st_size:
            raise BadInput(f"{path}: the file is empty; fetch or export it again")
        file.seek(start)
        return read_pickle(path, file)


def from_value(path: Path, value: Any, format: str, verified: str = "nothing: pickles carry no checksums") -> PickleFile:
    """The tensors in a pickle's value as an artefact."""
    objects = network_objects(path, value)
    leaves, notes = leaves_of(path, value)
    if not leaves:
        raise BadInput(f"{path}: a pickle without tensors; expected arrays, TF variables, or containers of them")
    if objects:
        notes = (f"networks as objects of NVIDIA's programs: {', '.join(f'{name} ({o.kind})' for name, o in objects.items())}",)
    return PickleFile(path, format, Facts({}, {path.name: path.stat().st_size}, verified, None, notes, objects), leaves)


def leaves_of(path: Path, value: Any, way: str = "") -> tuple[dict[str, Leaf], tuple[str, ...]]:
    """The tensors in a pickle's value by their keys, each beginning with `way`, and remarks on what was left out."""
    walk = _Walk(path)
    leaves: dict[str, Leaf] = {}
    for leaf in walk.leaves(value, way, 0):
        if leaf.key in leaves:
            raise BadInput(f"{path}: two tensors at {leaf.key!r}; rename one and pickle again")
        leaves[leaf.key] = leaf
    return leaves, tuple(walk.notes)


class PickleFile(TensorsOnly):
    """The tensors of a pickle; `key` is the way to each through the containers."""

    def __init__(self, path: Path, format: str, facts: Facts, leaves: dict[str, Leaf]) -> None:
        self.path, self.format, self.facts, self._leaves = path, format, facts, leaves
        self._variables = told_apart(map(variable_of, leaves.values()))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """In the order of the pickle."""
        return self._variables

    def read(self, variable: Variable) -> Array:
        """The tensor, read-only."""
        return self._leaves[variable.key].array

    def close(self) -> None:
        """Nothing is open: the pickle was read when it was opened."""


def variable_of(leaf: Leaf) -> Variable:
    """The facts of a tensor in a pickle."""
    dtype = leaf.array.dtype
    kind = "string" if dtype.kind in "SU" else dtype.name
    return Variable(leaf.name, leaf.key, leaf.array.shape, kind, leaf.array.nbytes, trainable=leaf.trainable)


class _Walk:
    """Finds the tensors under a value, in order, and notes what is not a tensor."""

    def __init__(self, path: Path) -> None:
        self.path, self.visits = path, 0
        self.notes: list[str] = []

    def leaves(self, value: Any, way: str, depth: int) -> Iterator[Leaf]:
        self.visits += 1
        if depth > MAX_DEPTH or self.visits > MAX_VISITS:
            raise HostileFile(self.path, f"nests containers over {MAX_DEPTH} deep or holds over {MAX_VISITS} things")
        value = meaning(self.path, value)
        if isinstance(value, np.ndarray):
            yield Leaf(way or "array", way.removesuffix(":0") or "array", value)
        elif isinstance(value, Named):
            for leaf in self.leaves(value.value, way, depth + 1):
                yield Leaf(leaf.key, value.name, leaf.array, value.trainable)
        elif isinstance(value, Network):
            for part in (value.variables, value.components):
                for leaf in self.leaves(part, _join(way, value.name), depth + 1):
                    yield Leaf(leaf.key, _join(value.name, leaf.name), leaf.array, leaf.trainable)
        elif isinstance(value, Persistent):
            for name, tensor in tensors_of(self.path, value):
                yield from self.leaves(tensor, _join(way or value.kind, name), depth + 1)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from self.leaves(item, _join(way, key if isinstance(key, str) else f"[{key!r}]"), depth + 1)
        elif isinstance(value, list | tuple):
            yield from self.sequence(value, way, depth)
        elif isinstance(value, bool | int | float):
            yield from self.numbers(value, way or "number")
        elif len(self.notes) < MAX_NOTES:
            self.notes.append(f"{way or 'the value'} is {type(value).__name__}, not a tensor, and is left out")

    def sequence(self, value: list[Any] | tuple[Any, ...], way: str, depth: int) -> Iterator[Leaf]:
        """A list of numbers is one tensor; a pair (name, tensor) is a named tensor; else each item stands for itself."""
        if value and all(type(item) in (int, float, bool) for item in value):
            yield from self.numbers(value, way or "list")
            return
        for number, item in enumerate(value):
            key = f"{way}[{number}]"
            pair = item if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) else None
            for leaf in self.leaves(pair[1] if pair else item, key, depth + 1):
                name = pair[0].removesuffix(":0") if pair and leaf.key == key else leaf.name
                yield Leaf(leaf.key, name, leaf.array, leaf.trainable)

    def numbers(self, value: Any, way: str) -> Iterator[Leaf]:
        self.visits += len(value) if isinstance(value, list | tuple) else 0
        array = np.array(value)
        if array.dtype.kind in "biuf":  # integers beyond 64 bits are not tensors
            array.flags.writeable = False
            yield Leaf(way, way, array)


def _join(way: str, key: str) -> str:
    return key if not way else (way + key if key.startswith("[") else f"{way}/{key}")
