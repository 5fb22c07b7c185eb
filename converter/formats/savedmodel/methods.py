"""Where a SavedModel's object graph keeps methods: the model's own call, its parts', and methods by name.

Objects hang on each other by attributes, so that a path of names leads to each; Keras hangs some on several. A method was traced once
for each kind of arguments; each tracing is a concrete function.
Source: tensorflow/core/protobuf/saved_object_graph.proto; Keras's names of saved methods: keras/saving/legacy/saved_model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

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
    """The functions at a path, by whatever names of attributes it leads there."""
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
