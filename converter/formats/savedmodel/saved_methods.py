"""The methods that a SavedModel saves: where they hang in its object graph, and what each takes and gives.

Objects hang on each other by attributes, so that a path of names leads to each; Keras hangs some on several. A method was traced once
for each kind of arguments; each tracing is a concrete function. What it takes and gives is written as a StructuredValue: tuples, lists
and dictionaries down to the tensors' specifications. TensorFlow flattens them depth first, dictionaries by sorted keys; in that order
stand the function's arguments.
Source: tensorflow/core/protobuf/{saved_object_graph,struct}.proto, tf.nest; the methods' names: keras/saving/legacy/saved_model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
    """The name of a DataType number ("float32"), "unknown" where this project does not know it."""
    return DTYPES.get(number, "resource" if number == 20 else "unknown")


# A call's saved methods, best first: Keras saves the same computation under each.
_CALL = ("__call__", "call_and_return_conditional_losses", "call_and_return_all_conditional_losses", "_default_save_signature")
# Children that are bookkeeping and no parts of a network.
_PASSED_OVER = frozenset("keras_api signatures optimizer loss losses metrics regularization_losses variables trainable_variables".split())
_NUMBERED = re.compile(r"(_self_.*|layers?(_with_weights)?(-\d+)?|_layers|\d+)")


def paths(objects: Any) -> dict[str, Sequence[Any]]:
    """Path -> the function nodes of a SavedObjectGraph behind it, each object by its shortest path and by a name rather than a number."""
    nodes = objects.nodes
    found: dict[str, Sequence[Any]] = {}
    seen = {0}
    front: list[tuple[tuple[str, ...], int]] = [((), 0)] if nodes else []
    while front:
        below: list[tuple[tuple[str, ...], int]] = []
        for path, number in front:
            children = _children(nodes, number)
            if call := _call(nodes, children):
                found[".".join(path)] = call
            for name in sorted(children.keys() - _PASSED_OVER, key=lambda name: (bool(_NUMBERED.fullmatch(name)), name)):
                child = children[name]
                if name not in _CALL and traced([nodes[child]]):
                    found[".".join((*path, name))] = [nodes[child]]
                elif nodes[child].WhichOneof("kind") == "user_object" and child not in seen:
                    seen.add(child)
                    below.append(((*path, name), child))
        front = sorted(below, key=lambda entry: bool(_NUMBERED.fullmatch(entry[0][-1])))
    return found


def methods_at(objects: Any, path: str) -> Sequence[Any]:
    """The functions at a path, each of its names an attribute."""
    nodes, number = objects.nodes, 0
    for name in filter(None, path.split(".")):
        children = _children(nodes, number)
        if name not in children:
            return ()
        number = children[name]
    if not nodes:
        return ()
    if traced([nodes[number]]):
        return [nodes[number]]
    return _call(nodes, _children(nodes, number))


def traced(methods: Sequence[Any]) -> list[str]:
    """The names of the concrete functions of an object graph's function nodes."""
    names: list[str] = []
    for node in methods:
        if node.HasField("bare_concrete_function"):
            names.append(node.bare_concrete_function.concrete_function_name)
        elif node.HasField("function"):
            names += node.function.concrete_functions
    return names


def _children(nodes: Sequence[Any], number: int) -> dict[str, int]:
    """An object's attributes that are in the graph."""
    return {child.local_name: child.node_id for child in nodes[number].children if 0 <= child.node_id < len(nodes)}


def _call(nodes: Sequence[Any], children: Mapping[str, int]) -> Sequence[Any]:
    """The first of an object's saved calls that was traced."""
    calls = [[nodes[children[name]]] for name in _CALL if name in children]
    return next((call for call in calls if traced(call)), ())
