"""Nested arguments and results of a saved function, flattened in TensorFlow's own order.

A SavedModel writes what a function takes and gives as a StructuredValue: tuples, lists and dictionaries down to the tensors'
specifications. TensorFlow flattens them depth first, dictionaries by sorted keys; in that order stand the function's arguments.
Source: tensorflow/core/protobuf/struct.proto, tf.nest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stylexport.converter.graph.protos import DTYPES

Place = tuple["str | int", ...]
Shape = tuple["int | None", ...]

_SEQUENCES = ("tuple_value", "list_value")
_SPECS = ("tensor_spec_value", "bounded_tensor_spec_value")


@dataclass(frozen=True)
class Leaf:
    """The end of a nested structure. `place` leads to it; `kind` is the StructuredValue's field, `value` what it holds."""

    place: Place
    kind: str
    value: Any

    @property
    def is_tensor(self) -> bool:
        """Whether a tensor stands here."""
        return self.kind in _SPECS


def leaves(value: Any, place: Place = ()) -> Iterator[Leaf]:
    """The leaves of a StructuredValue, in TensorFlow's order."""
    kind = value.WhichOneof("kind") or "none_value"
    held = getattr(value, kind)
    if kind in _SEQUENCES:
        for number, item in enumerate(held.values):
            yield from leaves(item, (*place, number))
    elif kind == "dict_value":
        for key in sorted(held.fields):
            yield from leaves(held.fields[key], (*place, key))
    elif kind == "named_tuple_value":
        for pair in held.values:
            yield from leaves(pair.value, (*place, pair.key))
    else:
        yield Leaf(place, kind, held)


def arguments(signature: Any, names: tuple[str, ...]) -> list[Leaf]:
    """The leaves of a canonicalised input signature, (positional, keywords), each placed under its argument's name where known."""
    found = []
    for leaf in leaves(signature):
        group, *rest = leaf.place or (0,)
        if group == 0 and rest and isinstance(rest[0], int) and rest[0] < len(names):
            rest[0] = names[rest[0]]
        found.append(Leaf(tuple(rest), leaf.kind, leaf.value))
    return found


def argument_names(function_spec: Any) -> tuple[str, ...]:
    """The positional arguments' names of a FunctionSpec, without self."""
    pairs = {pair.key: pair.value for pair in function_spec.fullargspec.named_tuple_value.values}
    if "args" not in pairs:
        return ()
    names = tuple(leaf.value for leaf in leaves(pairs["args"]) if leaf.kind == "string_value")
    return names[1:] if names[:1] == ("self",) else names


def shape_of(proto: Any) -> Shape | None:
    """A TensorShapeProto's shape, None for each size that is open, and None where even the rank is."""
    return None if proto.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in proto.dim)


def dtype_of(number: int) -> str:
    """The name of a DataType number ("float32"), "unknown" where this project knows none."""
    return DTYPES.get(number, "resource" if number == 20 else "unknown")
