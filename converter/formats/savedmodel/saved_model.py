"""SavedModels, in a folder or in a zip: `saved_model.pb` (graph and objects), `variables/` (a tensor bundle), Keras's metadata.

The format has no checksum of saved_model.pb. The variables' names come from the object graph, or are the keys where TensorFlow 1
wrote the file.
Source: tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto, tensorflow/python/saved_model/constants.py.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.checkpoint.bundle import Bundle
from stylexport.converter.formats.files import Files
from stylexport.converter.formats.savedmodel.saved_methods import shape_of
from stylexport.converter.graph import protos
from stylexport.converter.graph.graph import Graph, flatten, flatten_function

PB = "saved_model.pb"
_PREFIX = "variables/variables"
_ROOT = 0  # the object graph's node of the model itself


class SavedModel(Bundle):
    """An opened SavedModel: the bundle of its variables, and the graphs that use them."""

    format = "savedmodel"

    def __init__(self, files: Files) -> None:
        self._pb = files.where(PB)
        model = protos.parse(protos.SavedModel, files.read(PB), self._pb, "the file")
        if not model.meta_graphs:
            raise DamagedFile(self._pb, "holds no graph")
        serving = [m for m in model.meta_graphs if "serve" in m.meta_info_def.tags]
        self.meta_graph: Any = (serving or list(model.meta_graphs))[0]
        if f"{_PREFIX}.index" not in files.sizes:
            raise BadInput(f"{files.where(_PREFIX + '.index')}: missing; a SavedModel's weights lie in variables/: fetch it again")
        super().__init__(files, _PREFIX)
        self._check_variables()
        metadata = self._keras_metadata(files)
        versions = {"tensorflow": self.meta_graph.meta_info_def.tensorflow_version or "unknown"}
        keras_version = next((m["keras_version"] for m in metadata.values() if "keras_version" in m), None)
        if keras_version:
            versions["keras"] = keras_version
        model = metadata.get(_ROOT, {})  # that of a part would leave out what the whole does around it
        keras = model.get("model_config") or model.get("config")
        self.facts = dataclasses.replace(
            self.facts, versions=versions, keras=keras, verified=f"{self.facts.verified}; saved_model.pb has none", files=dict(files.sizes)
        )

    def _check_variables(self) -> None:
        """saved_model.pb and variables/ describe the same variables. Raises DamagedFile where files of two models are mixed."""
        described = {n: node.variable for n, node in enumerate(self.meta_graph.object_graph_def.nodes) if node.HasField("variable")}
        stored = {n: self.entries.get(self.key_of_object[n]) for n in described if n in self.key_of_object}
        remedy = "the two are of different models: export or fetch the SavedModel again"
        if described and self.key_of_object and not stored:
            raise DamagedFile(self._pb, f"describes {len(described)} variables, none of which is in {_PREFIX}", remedy)
        for number, entry in stored.items():
            shape = shape_of(described[number].shape)
            if shape is not None and None not in shape and (entry is None or entry.shape != shape):
                found = "lacks" if entry is None else f"holds as {list(entry.shape)}"
                raise DamagedFile(self._pb, f"describes {described[number].name} {list(shape)}, which {_PREFIX} {found}", remedy)

    def _keras_metadata(self, files: Files) -> dict[int, dict[str, Any]]:
        """Keras's own JSON of its models, by node; from keras_metadata.pb, or the object graph before TF 2.5."""
        name = "keras_metadata.pb"
        if name in files.sizes:
            nodes = protos.parse(protos.SavedMetadata, files.read(name), files.where(name), "the file").nodes
            texts = [(n.node_id, n.metadata) for n in nodes]
        else:
            texts = [(i, n.user_object.metadata) for i, n in enumerate(self.meta_graph.object_graph_def.nodes) if n.HasField("user_object")]
        found = {}
        for node, text in texts:
            if node != _ROOT and '"keras_version"' not in text:
                continue  # a layer's, which its model repeats
            if not text:
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DamagedFile(files.where(name), f"Keras's metadata is not valid JSON ({error})") from error
            if isinstance(value, dict):
                found[node] = value
        return found

    @cached_property
    def key_of_object(self) -> Mapping[int, str]:
        """Node of the object graph -> checkpoint key of the variable that it is."""
        if self.object_graph is None:
            return {}
        return {
            number: attribute.checkpoint_key
            for number, node in enumerate(self.object_graph.nodes)
            for attribute in node.attributes
            if attribute.name == "VARIABLE_VALUE"
        }

    def signature_graph(self) -> Graph | None:
        """The main graph with the outputs of its serving signature; None where no signature is saved."""
        signatures = {
            name: definition
            for name, definition in self.meta_graph.signature_def.items()
            if name != "__saved_model_init_op" and definition.outputs
        }
        if not signatures:
            return None
        chosen = signatures.get("serving_default") or signatures[sorted(signatures)[0]]
        outputs = tuple(chosen.outputs[name].name for name in sorted(chosen.outputs))
        return flatten(self.meta_graph.graph_def, self._pb, outputs)

    def graphs(self) -> Iterator[Graph]:
        """The signature's graph, then one for each saved function that uses variables: the model's own, then its parts', most first."""
        signature = self.signature_graph()
        if signature is not None:
            yield signature
        objects = self.meta_graph.object_graph_def
        known = {f.signature.name: f for f in self.meta_graph.graph_def.library.function}
        own = self._own_functions()
        order = sorted(objects.concrete_functions.items(), key=lambda item: (item[0] not in own, -len(item[1].bound_inputs), item[0]))
        for name, concrete in order:
            body = known.get(name)
            keys = [self.key_of_object.get(number) for number in concrete.bound_inputs]
            if body is None or not any(keys):
                continue
            captured = [arg.name for arg in body.signature.input_arg][len(body.signature.input_arg) - len(keys) :]
            bound = {arg: key for arg, key in zip(captured, keys, strict=False) if key}
            yield flatten_function(self.meta_graph.graph_def, name, bound, self._pb, part=name not in own)

    def _own_functions(self) -> set[str]:
        """Names of the functions that are members of the model itself, not of one of its parts."""
        nodes, found = self.meta_graph.object_graph_def.nodes, set()
        for child in nodes[_ROOT].children if nodes else ():
            found |= set(nodes[child.node_id].function.concrete_functions)
        return found
