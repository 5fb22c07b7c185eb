"""A checkpoint of TensorFlow 1 with the graph that its `.meta` (a MetaGraphDef) holds: of the whole training program, as a rule.

Source: tensorflow/core/protobuf/meta_graph.proto.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact, Facts, Variable
from stylexport.converter.formats.checkpoint.network_ends import network_ends
from stylexport.converter.formats.checkpoint.switches import switched_off
from stylexport.converter.graph import protos
from stylexport.converter.graph.graph import Graph, flatten


class GraphCheckpoint:
    """An opened checkpoint and its graph; `checkpoint` holds the variables. Raises DamagedFile where the `.meta` is not a graph."""

    format = "checkpoint"

    def __init__(self, checkpoint: Artefact, meta: Path) -> None:
        self.checkpoint, self.path, self.meta = checkpoint, checkpoint.path, meta
        self._weights: frozenset[str] = frozenset()
        try:
            data = meta.read_bytes()
        except OSError as error:
            raise BadInput(f"{meta}: {error.strerror}; check your rights to it") from error
        self.meta_graph: Any = protos.parse(protos.MetaGraphDef, data, meta, "the file")
        if not self.meta_graph.graph_def.node:
            raise DamagedFile(meta, "holds no graph", "fetch it again, or remove it: the checkpoint is read without it")
        version = self.meta_graph.meta_info_def.tensorflow_version
        versions = {**checkpoint.facts.versions, **({"tensorflow": version} if version else {})}
        files = {**checkpoint.facts.files, meta.name: len(data)}
        verified = f"{checkpoint.facts.verified}; {meta.name or 'the graph'} has none"
        self.facts: Facts = replace(checkpoint.facts, versions=versions, files=dict(sorted(files.items())), verified=verified)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The checkpoint's."""
        return self.checkpoint.variables

    @cached_property
    def graph(self) -> Graph:
        """The whole graph, functions inlined, with the ends of the network in it (not of its training) as outputs."""
        flat = flatten(self.meta_graph.graph_def, self.meta)
        graph = switched_off(Graph(flat.nodes, {**_by_own_name(flat), **flat.keys}))
        stored = {variable.key for variable in self.variables}
        keys = {name: key for name, key in graph.keys.items() if key in stored}
        weights = self._weights or {v.key for v in self.variables if v.slot is None}
        return Graph(graph.nodes, keys, network_ends(Graph(graph.nodes, keys), weights))

    def limit_to(self, weights: Collection[str]) -> None:
        """From now on the network is what these variables (by their keys) make: of a program that trains several, one of them."""
        self._weights = frozenset(weights)
        self.__dict__.pop("graph", None)

    @property
    def graph_def(self) -> Any:
        """The graph as the file holds it."""
        return self.meta_graph.graph_def

    def graphs(self) -> Iterator[Graph]:
        """The one graph."""
        yield self.graph

    def read(self, variable: Variable) -> Array:
        """The tensor, its checksum verified. Raises DamagedFile."""
        return self.checkpoint.read(variable)

    def finish(self) -> None:
        """Verify every checksum that reading has not."""
        self.checkpoint.finish()

    def close(self) -> None:
        """Give the checkpoint's files back."""
        self.checkpoint.close()


def _by_own_name(graph: Graph) -> Mapping[str, str]:
    """Variable node -> its name, which is its key unless the program chose another."""
    found = {}
    for node in graph.nodes.values():
        if node.op in ("Variable", "VariableV2", "VarHandleOp"):
            shared = node.attr["shared_name"].s.decode(errors="replace") if "shared_name" in node.attr else ""
            found[node.name] = shared if node.op == "VarHandleOp" and shared else node.name
    return found
