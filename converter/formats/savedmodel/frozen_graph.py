"""Frozen graphs: a `.pb` with one GraphDef whose weights are constants. The format has no checksums.

A scalar is a weight where freezing left the read of a variable behind it (`alpha` and `alpha/read`, or an identity called
`.../ReadVariableOp`); any other is a number of the program's, which a user's table may name all the same.
Source: tensorflow/core/framework/{graph,tensor}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.damage import begins_with
from stylexport.converter.graph import protos
from stylexport.converter.graph.graph import Graph, flatten
from stylexport.converter.graph.tensor_proto import decode_tensor, numpy_dtype, shape_of


def looks_like_graphdef(path: Path) -> bool:
    """Whether the file parses as a GraphDef that has named nodes."""
    try:
        if not begins_with(path, b"\x0a"):  # field 1 (node), length-delimited: how every GraphDef begins
            return False
        graph = protos.parse(protos.GraphDef, path.read_bytes(), path, "the file")
    except (DamagedFile, OSError):
        return False
    return bool(graph.node) and all(node.op for node in graph.node)


class FrozenGraph(TensorsOnly):
    """An opened frozen graph: its floating-point constants of rank one and more are its variables, and scalars that were some."""

    format = "graphdef"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from error
        self.graph_def: Any = protos.parse(protos.GraphDef, data, path, "the file")
        self._nodes = {n.name: n for n in self.graph_def.node if n.op == "Const"}
        for function in self.graph_def.library.function:
            self._nodes.update({f"{function.signature.name}/{n.name}": n for n in function.node_def if n.op == "Const"})
        were_variables = _read_as_variables(self.graph_def)
        found = {name: _variable(name, node.attr["value"].tensor) for name, node in self._nodes.items()}
        self.variables = tuple(v for name, v in found.items() if v is not None and (v.shape or name in were_variables))
        producer = self.graph_def.versions.producer
        notes = (f"GraphDef version {producer}" if producer else "GraphDef without a version",)
        self.facts = Facts(files={path.name: len(data)}, notes=notes)

    def take_scalar(self, name: str) -> Variable | None:
        """A scalar of the program's, which from now on is one of the variables; None where the graph has no such constant."""
        found = _variable(name, self._nodes[name].attr["value"].tensor) if name in self._nodes else None
        if found is not None and found not in self.variables:
            self.variables = (*self.variables, found)
        return found

    def read(self, variable: Variable) -> NDArray[Any]:
        """The constant's value. Raises DamagedFile where its bytes do not fill its shape."""
        return decode_tensor(self._nodes[variable.key].attr["value"].tensor, f"{self.path}: {variable.name}")

    def graphs(self) -> Iterator[Graph]:
        """The one graph, calls inlined; each constant that is a variable is known by its name."""
        graph = flatten(self.graph_def, self.path)
        names = {v.key for v in self.variables}
        fed = {ref.split(":")[0] for node in graph.nodes.values() for ref in node.inputs}
        ends = tuple(name for name, node in graph.nodes.items() if name not in fed and node.inputs and node.op != "NoOp")
        yield Graph(graph.nodes, {name: name for name in graph.nodes if name in names}, ends)

    def close(self) -> None:
        """Nothing is held open."""


def _read_as_variables(graph_def: Any) -> set[str]:
    """Names of constants that an operation takes which once read a variable."""
    found = set()
    for nodes, scope in ((graph_def.node, ""), *((f.node_def, f"{f.signature.name}/") for f in graph_def.library.function)):
        for node in nodes:
            for ref in node.input[:1]:
                name = ref.split(":")[0]
                if node.op in ("Identity", "ReadVariableOp") and (node.name == f"{name}/read" or "ReadVariableOp" in node.name):
                    found.add(scope + name)
    return found


def _variable(name: str, tensor: Any) -> Variable | None:
    dtype = protos.DTYPES.get(tensor.dtype, "")
    shape = shape_of(tensor)
    if dtype not in ("float32", "float64", "float16", "bfloat16"):
        return None
    return Variable(name, name, shape, dtype, numpy_dtype(dtype).itemsize * int(np.prod(shape, dtype=object)))
