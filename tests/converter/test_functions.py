"""Every callable of an artefact is found, with its inputs in the order of a call and its outputs in the order of the result."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stylexport.common.errors import BadInput
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.formats.savedmodel import functions as module
from stylexport.converter.formats.savedmodel.functions import Function, functions, inference
from stylexport.converter.formats.savedmodel.saved_methods import argument_names, arguments, leaves
from stylexport.converter.formats.savedmodel.saved_model import SavedModel
from stylexport.converter.graph import protos

# The embedded generator's channels at 4, 8, 16, 32 px.
CONV_STYLES = [16, 16, 16, 16, 16, 16, 12]
TORGB_STYLES = [16, 16, 16, 12]


@pytest.fixture(scope="module")
def generator(demo: Path) -> SavedModel:
    artefact = open_artefact(demo / "generator.savedmodel.zip")
    assert isinstance(artefact, SavedModel)
    return artefact


@pytest.fixture(scope="module")
def synthesis(generator: SavedModel) -> Function:
    return found(generator, "g_synthesis")


def found(artefact: SavedModel, path: str) -> Function:
    function = inference(artefact, path)
    assert function is not None
    return function


def test_the_models_own_call_comes_first_then_members_by_variables_then_signatures(generator: SavedModel) -> None:
    paths = list(dict.fromkeys(function.path for function in functions(generator)))
    assert paths == ["", "g_synthesis", "style_vector_calculator", "g_mapping", "signature:serving_default"]


def test_of_each_path_inference_comes_before_training(generator: SavedModel) -> None:
    variants = [(function.path, function.training) for function in functions(generator)]
    assert variants[:4] == [("", False), ("", True), ("g_synthesis", False), ("g_synthesis", True)]


def test_nothing_is_flattened_before_it_is_asked_for(generator: SavedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    flattened: list[str] = []
    flatten = module.flatten_function

    def counting(graph_def: Any, name: str, *rest: Any, **options: Any) -> Any:
        flattened.append(name)
        return flatten(graph_def, name, *rest, **options)

    monkeypatch.setattr(module, "flatten_function", counting)
    next(functions(generator))
    assert len(flattened) == 1


def test_each_style_has_its_place_among_the_arguments(synthesis: Function) -> None:
    conv = [("styles", 0, i) for i in range(7)]
    rgb = [("styles", 1, i) for i in range(4)]
    assert [x.place for x in synthesis.inputs] == conv + rgb
    assert [x.shape for x in synthesis.inputs] == [(None, n) for n in CONV_STYLES + TORGB_STYLES]


def test_the_styles_come_out_in_the_order_in_which_synthesis_takes_them(generator: SavedModel, synthesis: Function) -> None:
    calculator = found(generator, "style_vector_calculator")
    assert calculator.places == tuple(x.place[1:] for x in synthesis.inputs)


def test_each_style_reaches_the_layer_that_its_place_says(synthesis: Function) -> None:
    """The first thing that is done with a style is to scale its own layer's input."""
    takers = [{plain(node.name) for node in synthesis.graph.consumers[x.name]} for x in synthesis.inputs]
    layers = ["4x4", "8x8/Conv0Up", "8x8/Conv1", "16x16/Conv0Up", "16x16/Conv1", "32x32/Conv0Up", "32x32/Conv1"]
    for layer, names in zip(layers, takers, strict=False):
        assert all(layer in name and "ToRGB" not in name for name in names), (layer, names)
    for size, names in zip((4, 8, 16, 32), takers[7:], strict=True):
        assert all(f"ToRGB{size}x{size}/" in name for name in names), (size, names)


def plain(name: str) -> str:
    return name.replace("PartitionedCall/", "").replace("Stateful", "")


def test_what_is_captured_is_no_input_but_a_variable(synthesis: Function) -> None:
    names = {x.name for x in synthesis.inputs}
    assert not names & set(synthesis.graph.keys)
    assert len(set(synthesis.graph.keys.values())) == 37


def test_a_signatures_inputs_stand_by_name(generator: SavedModel) -> None:
    signature = found(generator, "signature:serving_default")
    assert [(x.place, x.shape, x.dtype) for x in signature.inputs] == [
        (("probabilities",), (None, 2), "float32"),
        (("z",), (None, 32), "float32"),
    ]
    assert all(signature.graph[x.name].op == "Placeholder" for x in signature.inputs)


@pytest.mark.parametrize("path", ["g_synthesis.no_such_part", "signature:other", "dlatent_avg"])
def test_a_path_that_leads_to_no_function_gives_none(generator: SavedModel, path: str) -> None:
    assert inference(generator, path) is None


def test_a_layer_is_found_by_either_of_kerass_names(demo: Path) -> None:
    classifier = open_artefact(demo / "mobilenet.savedmodel.zip")
    by_number, by_weights = inference(classifier, "layer-2"), inference(classifier, "layer_with_weights-1")
    assert by_number is not None
    assert by_weights is not None
    assert by_number.graph.keys == by_weights.graph.keys


def test_dropout_in_training_is_told_from_inference_by_the_arguments(demo: Path) -> None:
    classifier = open_artefact(demo / "mobilenet.savedmodel.zip")
    own = [function for function in functions(classifier) if function.path == ""]
    random = [any(node.op == "RandomUniform" for node in function.graph.nodes.values()) for function in own]
    assert [function.training for function in own] == random == [False, True]


def test_a_checkpoint_has_no_functions(tmp_path: Path, demo: Path) -> None:
    with zipfile.ZipFile(demo / "encoder.savedmodel.zip") as archive:
        archive.extractall(tmp_path)
    checkpoint = open_artefact(next(tmp_path.rglob("variables.index")))
    assert list(functions(checkpoint)) == []
    assert inference(checkpoint, "") is None


def frozen(path: Path, *nodes: tuple[str, str, Sequence[str]]) -> Path:
    """A GraphDef of nodes (name, operation, inputs)."""
    graph = protos.GraphDef()
    for name, op, inputs in nodes:
        node = graph.node.add(name=name, op=op, input=inputs)
        if op == "Placeholder":
            node.attr["dtype"].type = 1
            for size in (-1, 5):
                node.attr["shape"].shape.dim.add(size=size)
    path.write_bytes(graph.SerializeToString())
    return path


def test_a_frozen_graph_is_one_function_from_its_placeholders_to_what_nobody_takes(tmp_path: Path) -> None:
    nodes = [
        ("x", "Placeholder", []),
        ("y", "Placeholder", []),
        ("sum", "AddV2", ["x", "y"]),
        ("a", "Relu", ["sum"]),
        ("b", "Neg", ["sum"]),
    ]
    (function,) = functions(open_artefact(frozen(tmp_path / "graph.pb", *nodes)))
    assert (function.path, function.outputs, function.training) == ("", ("a", "b"), None)
    assert [(x.name, x.shape, x.dtype) for x in function.inputs] == [("x", (None, 5), "float32"), ("y", (None, 5), "float32")]


def test_a_graph_that_draws_random_numbers_trains(tmp_path: Path) -> None:
    nodes = [("x", "Placeholder", []), ("noise", "RandomStandardNormal", ["x"]), ("y", "AddV2", ["x", "noise"])]
    (function,) = functions(open_artefact(frozen(tmp_path / "graph.pb", *nodes)))
    assert function.training is True


def test_an_output_of_many_is_found_by_its_name_in_a_function(tmp_path: Path) -> None:
    graph = protos.GraphDef()
    body = graph.library.function.add()
    body.signature.name = "largest"
    body.signature.input_arg.add(name="x", type=1)
    body.signature.output_arg.add(name="where", type=3)
    body.node_def.add(name="top", op="TopKV2", input=["x", "x"])
    body.ret["where"] = "top:indices:0"
    graph.node.add(name="x", op="Placeholder")
    graph.node.add(name="call", op="PartitionedCall", input=["x"]).attr["f"].func.name = "largest"
    graph.node.add(name="end", op="Neg", input=["call"])
    (tmp_path / "graph.pb").write_bytes(graph.SerializeToString())
    (function,) = functions(open_artefact(tmp_path / "graph.pb"))
    assert function.graph["end"].inputs == ("call/top:1",)


def test_a_function_that_the_library_lacks_is_named(tmp_path: Path) -> None:
    path = frozen(tmp_path / "graph.pb", ("x", "Placeholder", []), ("y", "Neg", ["x"]))
    (function,) = functions(open_artefact(path))
    assert function.body is not None
    with pytest.raises(BadInput, match="calls the function branch_7, which it does not hold"):
        function.body("branch_7")


def structured(kind: str, values: Sequence[Any]) -> Any:
    """A StructuredValue of tuples, lists and pairs; a string is a tensor's specification of that name."""
    made = protos.SavedObjectGraph().concrete_functions["f"].canonicalized_input_signature
    target = getattr(made, f"{kind}_value")
    target.SetInParent()
    for value in values:
        item = target.fields[value[0]] if kind == "dict" else target.values.add()
        value = value[1] if kind == "dict" else value
        if isinstance(value, str):
            item.tensor_spec_value.name = value
        elif isinstance(value, bool):
            item.bool_value = value
        else:
            item.CopyFrom(value)
    return made


def test_dictionaries_flatten_by_sorted_keys_and_lists_by_place() -> None:
    value = structured("tuple", [structured("dict", [("zeta", "z"), ("alpha", "a")]), structured("list", ["first", "second"])])
    assert [(leaf.place, leaf.value.name) for leaf in leaves(value)] == [
        ((0, "alpha"), "a"),
        ((0, "zeta"), "z"),
        ((1, 0), "first"),
        ((1, 1), "second"),
    ]


def test_arguments_stand_under_their_names_positional_first() -> None:
    value = structured("tuple", [structured("tuple", ["x", True]), structured("dict", [("mask", "m")])])
    places = [leaf.place for leaf in arguments(value, ("images", "training"))]
    assert places == [("images",), ("training",), ("mask",)]


def test_self_is_no_argument() -> None:
    spec = protos.SavedObjectGraph().nodes.add().function.function_spec
    pair = spec.fullargspec.named_tuple_value.values.add(key="args")
    for name in ("self", "images", "training"):
        pair.value.list_value.values.add(string_value=name)
    assert argument_names(spec) == ("images", "training")
