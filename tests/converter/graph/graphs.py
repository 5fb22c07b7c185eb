"""Graphs of a few operations, traced from a function, for tests that look at graphs alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from stylexport.converter.graph.graph import Graph, flatten


def variable(name: str, *shape: int) -> Any:
    """A variable whose name without slashes is its PyTorch tensor's: "b8/conv1/weight"."""
    return tf.Variable(tf.random.stateless_normal(shape, (1, len(name))), name=name)


def traced(function: Callable[..., Any], *shapes: tuple[int | None, ...]) -> Graph:
    """The graph of `function` on float32 inputs of these shapes; variables' keys are their names."""
    concrete = tf.function(function).get_concrete_function(*(tf.TensorSpec(shape) for shape in shapes))
    names = {id(v.handle): v.name.removesuffix(":0") for v in concrete.graph.variables}
    keys = {inside.op.name: names[id(outside)] for outside, inside in concrete.graph.captures if id(outside) in names}
    flat = flatten(concrete.graph.as_graph_def(), "traced", tuple(output.name for output in tf.nest.flatten(concrete.outputs)))
    return Graph(flat.nodes, keys, flat.outputs)


def as_torch(graph: Graph) -> dict[str, str]:
    """The mapping under which each variable's name is its tensor's."""
    return {key: key.replace("/", ".") for key in graph.keys.values()}


def renamed(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """The same graph with nodes called n0, n1, ... in an order of their own, and the new names."""
    new = {name: f"n{i}" for i, name in enumerate(sorted(graph.nodes, key=lambda name: name[::-1]))}

    def ref(old: str) -> str:
        name, colon, output = old.partition(":")
        return f"{new[name]}{colon}{output}"

    nodes = {new[n.name]: replace(n, name=new[n.name], inputs=tuple(map(ref, n.inputs))) for n in graph.nodes.values()}
    return Graph(nodes, {new[name]: key for name, key in graph.keys.items()}, tuple(map(ref, graph.outputs)), graph.part), new
