"""Every callable of an artefact, flattened, with its inputs in the order of a call and its outputs in the order of the result.

A SavedModel of TensorFlow 2 saves methods (of the model and of its parts) as functions, one for each way in which they were traced;
of TensorFlow 1 it has signatures alone. A frozen graph is one function from its placeholders to what nobody takes.
Source: tensorflow/core/protobuf/{saved_object_graph,meta_graph}.proto.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.checkpoint.averages import Averaged
from stylexport.converter.formats.checkpoint.meta_graph import GraphCheckpoint
from stylexport.converter.formats.savedmodel.frozen_graph import FrozenGraph
from stylexport.converter.formats.savedmodel.saved_methods import (
    Leaf,
    Place,
    Shape,
    argument_names,
    arguments,
    dtype_of,
    leaves,
    methods_at,
    paths,
    shape_of,
    traced,
)
from stylexport.converter.formats.savedmodel.saved_model import SavedModel
from stylexport.converter.graph.dataflow import follow
from stylexport.converter.graph.graph import Graph, Node, flatten, flatten_function
from stylexport.converter.graph.loops.v1_loops import LoopFunction, as_while, outside

SIGNATURE = "signature:"
_RANDOM = re.compile(r"(Stateless)?(Random|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial|Bernoulli|Dropout|StandardNormal).*")
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


@dataclass(frozen=True)
class Input:
    """What a caller gives. `name` is the placeholder's in the graph; `place` where the tensor stands among nested arguments.

    ("styles", 0, 3) is the fourth tensor of the first list of the argument `styles`. A size of `shape` is None where it is open,
    and `shape` itself where the rank is.
    """

    name: str
    shape: Shape | None
    dtype: str
    place: Place = ()


@dataclass(frozen=True)
class Function:
    """A callable. `path`: "" the model's own call, "style_vector_calculator" a member's, "decode" a method, "signature:NAME".

    `inputs` stand in the order of a call (signatures: by name), `outputs` are references in `graph` in the order of the result;
    `places` says where each stands in a nested result. `training` is True for a variant that computes as in training, False for
    inference, None where the graph does not say. `body` gives a function of the graph's library, which its If and While call.
    """

    path: str
    graph: Graph = field(repr=False)
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    training: bool | None
    places: tuple[Place, ...] = ()
    body: Callable[[str], Function] | None = field(default=None, repr=False, compare=False)


def functions(artefact: Artefact) -> Iterator[Function]:
    """The artefact's callables, each variant once: the model's own call, its parts' (most variables first), the signatures.

    Of one path the variants for inference come first. Nothing is flattened before it is asked for. Raises HostileFile and
    DamagedFile as flattening does.
    """
    if isinstance(artefact, Averaged):
        yield from (replace(function, graph=artefact.renamed(function.graph)) for function in functions(artefact.original))
    elif isinstance(artefact, FrozenGraph | GraphCheckpoint):
        yield from _plain(artefact)
    elif isinstance(artefact, SavedModel):
        yield from _saved(artefact, paths(artefact.meta_graph.object_graph_def))


def holds_graph(artefact: Artefact) -> bool:
    """Whether something of the artefact can be run."""
    original = artefact.original if isinstance(artefact, Averaged) else artefact
    return isinstance(original, FrozenGraph | GraphCheckpoint | SavedModel)


def limit_to(artefact: Artefact, keys: Collection[str]) -> None:
    """Of a training program's graph, take the network that these variables make; other artefacts have functions of their own."""
    if isinstance(artefact, Averaged):
        raw = {average: key for key, average in artefact.key_of.items()}
        limit_to(artefact.original, [raw.get(key, key) for key in keys])
    elif isinstance(artefact, GraphCheckpoint):
        artefact.limit_to(keys)


def inference(artefact: Artefact, path: str) -> Function | None:
    """The callable at `path` as it computes outside training; None where there is none."""
    if isinstance(artefact, Averaged):
        function = inference(artefact.original, path)
        return function and replace(function, graph=artefact.renamed(function.graph))
    found: Iterator[Function]
    if isinstance(artefact, FrozenGraph | GraphCheckpoint):
        found = _plain(artefact) if path == "" else iter(())
    elif not isinstance(artefact, SavedModel):
        return None
    elif path.startswith(SIGNATURE):
        found = _signatures(artefact, path[len(SIGNATURE) :])
    else:
        found = _variants(artefact, path, methods_at(artefact.meta_graph.object_graph_def, path))
    return next((function for function in found if function.training is not True), None)


def is_random(op: str) -> bool:
    """Whether an operation draws random numbers."""
    return _RANDOM.fullmatch(op) is not None


def _saved(artefact: SavedModel, found: Mapping[str, Sequence[Any]]) -> Iterator[Function]:
    bound = artefact.meta_graph.object_graph_def.concrete_functions
    variables = {path: max(len(bound[name].bound_inputs) for name in traced(methods)) for path, methods in found.items()}
    for path in sorted(found, key=lambda path: (path != "", -variables[path], path)):
        yield from _variants(artefact, path, found[path])
    yield from _signatures(artefact)


@dataclass(frozen=True)
class _Variant:
    """One tracing of a method, before it is flattened."""

    name: str
    arguments: tuple[Leaf, ...]

    @property
    def training(self) -> bool | None:
        """What the arguments say: the one called training, else any that is True."""
        truths = {leaf.place[0] if leaf.place else "": bool(leaf.value) for leaf in self.arguments if leaf.kind == "bool_value"}
        if "training" in truths:
            return truths["training"]
        return any(truths.values()) if truths else None


def _variants(artefact: SavedModel, path: str, methods: Sequence[Any]) -> Iterator[Function]:
    concrete = artefact.meta_graph.object_graph_def.concrete_functions
    library = {f.signature.name for f in artefact.meta_graph.graph_def.library.function}
    found: dict[str, _Variant] = {}
    for node in methods:
        names = argument_names(node.function.function_spec) if node.HasField("function") else ()
        for name in traced([node]):
            if name in concrete and name in library:
                given = tuple(arguments(concrete[name].canonicalized_input_signature, names))
                found[name] = _Variant(name, given)
    for variant in sorted(found.values(), key=lambda v: {False: 0, None: 1, True: 2}[v.training]):
        yield _flattened(artefact, path, variant)


def _flattened(artefact: SavedModel, path: str, variant: _Variant) -> Function:
    meta = artefact.meta_graph
    concrete = meta.object_graph_def.concrete_functions[variant.name]
    signature = next(f for f in meta.graph_def.library.function if f.signature.name == variant.name)
    args = list(signature.signature.input_arg)
    if len(args) < len(concrete.bound_inputs):
        raise DamagedFile(artefact.path, f"the function {variant.name} captures more than it takes")
    own, captured = args[: len(args) - len(concrete.bound_inputs)], args[len(args) - len(concrete.bound_inputs) :]
    keys = {arg.name: artefact.key_of_object.get(number) for arg, number in zip(captured, concrete.bound_inputs, strict=True)}
    graph = flatten_function(meta.graph_def, variant.name, {arg: key for arg, key in keys.items() if key}, artefact.path, part=path != "")
    constants = {
        arg.name: node
        for arg, number in zip(captured, concrete.bound_inputs, strict=True)
        if (node := _constant(meta, number, arg.name)) is not None
    }
    graph = Graph({**graph.nodes, **constants}, graph.keys, graph.outputs, graph.part)
    results = [leaf for leaf in leaves(concrete.output_signature) if leaf.is_tensor]
    return Function(
        path,
        graph,
        _inputs(signature, own, [leaf for leaf in variant.arguments if leaf.is_tensor]),
        graph.outputs,
        variant.training if variant.training is not None else _trains(graph),
        tuple(leaf.place for leaf in results) if len(results) == len(graph.outputs) else (),
        _library(meta.graph_def, artefact.path),
    )


def _inputs(definition: Any, own: Sequence[Any], specs: Sequence[Leaf]) -> tuple[Input, ...]:
    """A function's inputs; by the written structure where it fits the arguments, else by what the arguments tell of themselves."""
    fits = len(specs) == len(own) and all(spec.value.dtype == arg.type for spec, arg in zip(specs, own, strict=True))
    if fits:
        return tuple(
            Input(arg.name, shape_of(spec.value.shape), dtype_of(arg.type), spec.place) for spec, arg in zip(specs, own, strict=True)
        )
    found = []
    for number, arg in enumerate(own):
        attr = definition.arg_attr[number].attr if number in definition.arg_attr else {}
        shapes = attr["_output_shapes"].list.shape if "_output_shapes" in attr else ()
        found.append(Input(arg.name, shape_of(shapes[0]) if shapes else None, dtype_of(arg.type), (arg.name,)))
    return tuple(found)


def _constant(meta: Any, number: int, name: str) -> Node | None:
    """The constant that a function captured, as a node called like its argument."""
    kind = meta.object_graph_def.nodes[number]
    if kind.WhichOneof("kind") != "constant":
        return None
    source = next((node for node in meta.graph_def.node if node.name == kind.constant.operation), None)
    return Node(name, source.op, (), source.attr) if source is not None and source.op == "Const" else None


def _signatures(artefact: SavedModel, only: str | None = None) -> Iterator[Function]:
    """The signatures, by name."""
    meta = artefact.meta_graph
    for name in sorted(meta.signature_def):
        definition = meta.signature_def[name]
        if (only is not None and name != only) or name == "__saved_model_init_op" or not definition.outputs:
            continue
        names = sorted(definition.outputs)
        graph, loops = as_while(flatten(meta.graph_def, artefact.path, tuple(definition.outputs[key].name for key in names)))
        inputs = []
        for key in sorted(definition.inputs):
            info = definition.inputs[key]
            if not info.name:
                raise BadInput(
                    f"{artefact.path}: the signature {name} takes {key} as a sparse or composite tensor; save it with plain ones"
                )
            inputs.append(Input(info.name.split(":")[0], shape_of(info.tensor_shape), dtype_of(info.dtype), (key,)))
        places = tuple((key,) for key in names)
        body = _library(meta.graph_def, artefact.path, loops)
        yield Function(SIGNATURE + name, graph, tuple(inputs), graph.outputs, _trains(graph), places, body)


def _plain(artefact: FrozenGraph | GraphCheckpoint) -> Iterator[Function]:
    """A graph without functions of its own: from the placeholders that its outputs need to its outputs; none where it has no outputs."""
    graph, loops = as_while(next(artefact.graphs()))
    graph = Graph(graph.nodes, graph.keys, outside(graph) if loops else graph.outputs, graph.part)
    if not graph.outputs:
        return
    needed = follow(graph, graph.outputs, [name for name, node in graph.nodes.items() if node.op in _PLACEHOLDERS]).inputs
    inputs = tuple(
        Input(
            node.name, shape_of(node.attr["shape"].shape) if "shape" in node.attr else None, dtype_of(node.attr["dtype"].type), (node.name,)
        )
        for node in graph.nodes.values()
        if node.op in _PLACEHOLDERS and (isinstance(artefact, FrozenGraph) or node.name in needed)
    )
    places = tuple((ref,) for ref in graph.outputs)
    library = _library(artefact.graph_def, artefact.path, loops)
    yield Function("", graph, inputs, graph.outputs, _trains(graph), places, library)


def _library(graph_def: Any, path: Path, loops: Mapping[str, LoopFunction] | None = None) -> Callable[[str], Function]:
    return partial(_body, graph_def, path, loops or {})


def _body(graph_def: Any, path: Path, loops: Mapping[str, LoopFunction], name: str) -> Function:
    """A function of the library, or of a loop, by itself: every argument is an input. Raises BadInput where there is none."""
    if name in loops:
        loop, body = loops[name], _library(graph_def, path, loops)
        given = tuple(Input(placeholder, None, dtype, (placeholder,)) for placeholder, dtype in loop.inputs)
        return Function(name, loop.graph, given, loop.outputs, None, (), body)
    definition = next((f for f in graph_def.library.function if f.signature.name == name), None)
    if definition is None:
        raise BadInput(f"{path}: its graph calls the function {name}, which it does not hold; fetch or export the file again")
    graph = flatten_function(graph_def, name, {}, path, part=True)
    inputs = _inputs(definition, definition.signature.input_arg, ())
    return Function(name, graph, inputs, graph.outputs, None, (), _library(graph_def, path))


def _trains(graph: Graph) -> bool | None:
    """True where what the outputs need draws random numbers or normalises by its own batch; None where the graph does not say.

    What a TensorFlow 1 graph switches on by its learning phase does not count: by default it is off.
    """
    seen, front = set[str](), list(graph.outputs)
    while front:
        node = graph.get(front.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if is_random(node.op) or _takes_moments(graph, node):
            return True
        front += node.inputs if node.op != "Merge" else ()
    return None


def _takes_moments(graph: Graph, node: Node) -> bool:
    """Whether it is a batch normalisation by the batch's own moments; layer normalisation uses the same operation, without variables."""
    if node.op not in _NORMS or ("is_training" in node.attr and not node.attr["is_training"].b):
        return False
    return any(graph.variable(ref) is not None for ref in node.inputs[1:3])
