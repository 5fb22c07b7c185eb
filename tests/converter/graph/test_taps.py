"""Every layer of the port has its tap in the original's graph, whoever wrote the graph and whatever its nodes are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tf_keras import layers as L

from stylexport.common.errors import BadInput
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.formats.savedmodel.frozen_graph import FrozenGraph
from stylexport.converter.graph.graph import Graph
from stylexport.converter.graph.taps import Tap, taps
from stylexport.converter.mapping.recognise import recognise
from stylexport.reference_tf.networks.saved_model import DATA_FORMATS, export_network
from stylexport.torch_models.config import RELEASED, MobileNetV1Config, resolutions
from stylexport.torch_models.kinds import KINDS
from tests.converter.graph.graphs import as_torch, renamed, traced, variable
from tests.reference_tf.sizes import ALL, CLASSIFIER

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], Artefact]:
    """(network, data format) -> its SavedModel."""
    folder = tmp_path_factory.mktemp("taps")
    found = {}
    for network, config in ALL.items():
        for data_format in DATA_FORMATS:
            target = folder / network / data_format
            export_network(network, config, None, target, data_format=data_format)
            found[network, data_format] = open_artefact(target)
    return found


def mapping(artefact: Artefact) -> tuple[dict[str, str], dict[str, str]]:
    """Checkpoint key -> PyTorch tensor, and -> TensorFlow name."""
    (network,), _ = recognise(artefact)
    return {b.variable.key: b.rule.torch for b in network.bindings}, {v.key: v.name for v in artefact.variables}


def of_release(artefact: Artefact, network: str, graph: Graph | None = None) -> list[Tap]:
    graph = graph or next(artefact.graphs())
    layers, names = mapping(artefact)
    return taps(graph, graph.outputs, layers, KINDS[RELEASED[network]].taps.load(), names=names)


def stages(found: list[Tap]) -> dict[str, str]:
    """Layer -> stage, of a graph in which each layer has one tap."""
    assert len({tap.layer for tap in found}) == len(found)
    return {tap.layer: tap.stage for tap in found}


def expected(network: str) -> dict[str, str]:
    """The taps that a configuration asks for."""
    config = ALL[network]
    return {**(_classifier(CLASSIFIER) if network == "classifier" else dict(_stylegan(network, config))), "output": "output"}


def _stylegan(network: str, config: Any) -> Iterator[tuple[str, str]]:
    if network == "generator":
        yield from ((f"mapping.fc{i}", "activation") for i in range(config.mapping_layers))
        yield "synthesis.b4", "variable"
    else:
        yield f"b{config.resolution}.fromrgb", "activation"
        yield from ((f"b4.{layer}", "activation") for layer in ("conv", "fc"))
        yield "b4.out", "parameters"
        if network == "discriminator":
            yield "b4.mbstd", "join"
    for r in resolutions(config.resolution):
        if network == "generator":
            for layer in ("conv1", "torgb") if r == 4 else ("conv0", "conv1", "torgb"):
                yield f"style_vectors.b{r}.{layer}", "activation"
                yield f"synthesis.b{r}.{layer}", "parameters" if layer == "torgb" else "activation"
        elif r > 4:
            yield from ((f"b{r}.conv{i}", "activation") for i in (0, 1))
            yield f"b{r}.skip", "parameters"
        if r > 4:
            yield (f"synthesis.b{r}" if network == "generator" else f"b{r}"), "join"


def _classifier(config: MobileNetV1Config) -> dict[str, str]:
    units = ["conv0", "b1.depthwise", "b1.pointwise"][: len(config.layers)]
    kinds = {"conv": "parameters", "bn": "parameters", "act": "activation"}
    return {**{f"{unit}.{part}": stage for unit in units for part, stage in kinds.items()}, "head": "parameters"}


@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("network", ALL)
def test_every_layer_of_a_release_has_exactly_its_taps(network: str, data_format: str, releases: Mapping[Any, Artefact]) -> None:
    found = of_release(releases[network, data_format], network)
    assert stages(found) == expected(network)
    assert all(tap.declared for tap in found)


@pytest.mark.parametrize("network", ALL)
def test_the_names_of_nodes_decide_nothing(network: str, releases: Mapping[Any, Artefact]) -> None:
    artefact = releases[network, "NCHW"]
    graph = next(artefact.graphs())
    other, new = renamed(graph)
    before, after = of_release(artefact, network, graph), of_release(artefact, network, other)
    assert [(t.layer, t.stage, t.op, t.layout, t.constants) for t in after] == [
        (t.layer, t.stage, t.op, t.layout, t.constants) for t in before
    ]
    assert [t.node for t in after] == [new[t.node] for t in before]


def test_the_generators_members_have_the_layers_that_they_compute(releases: Mapping[Any, Artefact]) -> None:
    artefact = releases["generator", "NCHW"]
    whole = [layer for layer in stages(of_release(artefact, "generator")) if layer != "output"]
    parts = {"mapping": 1, "style_vectors": 8, "synthesis": 1}  # outputs: w; five styles and three of toRGB; the image
    for graph in artefact.graphs():
        found = of_release(artefact, "generator", graph)
        layers = [tap.layer for tap in found if tap.stage != "output"]
        part = layers[0].partition(".")[0]
        if len(graph.outputs) == parts.get(part) and len(layers) == sum(layer.startswith(part) for layer in whole):
            assert sorted(layers) == sorted(layer for layer in whole if layer.startswith(part))
            del parts[part]
    assert not parts


def test_a_tap_says_where_to_look_in_tensorflow(releases: Mapping[Any, Artefact]) -> None:
    by_layer = {tap.layer: tap.tf for tap in of_release(releases["encoder", "NCHW"], "encoder")}
    assert by_layer["b16.skip"] == "encoder/EncoderBlock16x16/Skip"
    assert by_layer["b8"] == "encoder/EncoderBlock8x8"
    assert by_layer["b4.fc"] == "encoder/EncoderDense4x4"


def test_taps_stand_in_order_of_execution(releases: Mapping[Any, Artefact]) -> None:
    found = [tap.layer for tap in of_release(releases["discriminator", "NCHW"], "discriminator")]
    block = ["conv0", "conv1", "skip"]
    assert found == [
        "b16.fromrgb",
        *(f"b16.{layer}" for layer in block),
        "b16",
        *(f"b8.{layer}" for layer in block),
        "b8",
        *(f"b4.{layer}" for layer in ("mbstd", "conv", "fc", "out")),
        "output",
    ]


def test_convolutions_inside_transposes_are_told_from_maps_outside(releases: Mapping[Any, Artefact]) -> None:
    layouts = {tap.layer: tap.layout for tap in of_release(releases["encoder", "NHWC"], "encoder")}
    assert {layer for layer, layout in layouts.items() if layout == "NHWC"} == {"b16.skip", "b8.skip"}
    assert {layer for layer, layout in layouts.items() if layout == ""} == {"b4.fc", "b4.out", "output"}


@pytest.mark.parametrize("network", ["generator", "discriminator", "classifier"])
def test_layouts_are_those_of_tensorflows_shapes(network: str, releases: Mapping[Any, Artefact], tmp_path: Path) -> None:
    model = tf.saved_model.load(str(releases[network, "NHWC"].path))
    frozen = convert_variables_to_constants_v2(model.signatures["serving_default"])
    (tmp_path / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    (graph,) = FrozenGraph(tmp_path / "frozen.pb").graphs()
    channels = {"generator": {3, 5, 7}, "discriminator": {3, 5, 7, 8}, "classifier": {3, 5, 8}}[network]  # no map is so wide
    checked = set()
    for tap in taps(graph, graph.outputs, {}, None):
        shape = frozen.graph.get_tensor_by_name(f"{tap.node}:0").shape
        if tap.stage in ("parameters", "activation", "join") and tap.op != "Const" and len(shape) == 4 and 1 not in shape[1:]:
            assert shape[tap.layout.index("C")] in channels, tap
            assert shape[tap.layout.index("H")] not in channels - {8}, tap
            checked.add(tap.layout)
    assert checked == ({"NHWC"} if network == "classifier" else {"NCHW", "NHWC"})


def test_a_layers_own_rounded_constants_are_counted() -> None:
    kernel, bias = variable("fc/weight", 4, 3), variable("fc/bias", 3)

    def dense(x: Any) -> Any:
        y = tf.nn.leaky_relu(x @ (kernel * 0.3) + bias * 0.140625, 0.2)  # 9/64, a filter's tap, is not rounded
        return y * 1.4, y + 2.0

    graph = traced(dense, (None, 4))
    count = {(tap.layer, tap.op): tap.constants for tap in taps(graph, graph.outputs, as_torch(graph), None)}
    assert count == {("fc", "AddV2"): 1, ("fc", "LeakyRelu"): 2, ("output", "Mul"): 3, ("output", "AddV2"): 2}


def test_constants_count_once_a_use() -> None:
    weight = variable("fc/weight", 4, 4)

    def twice(x: Any) -> Any:
        gain = tf.constant(0.7)
        y = x @ weight
        return (y * gain) * gain, tf.raw_ops.ClipByValue(t=y * gain, clip_value_min=-0.3, clip_value_max=0.3)

    graph = traced(twice, (None, 4))
    assert [tap.constants for tap in taps(graph, graph.outputs, as_torch(graph), None) if tap.stage == "output"] == [2, 3]


def test_a_residual_network_of_keras_has_its_layers_and_its_sums(tmp_path: Path) -> None:
    given = tf_keras.Input((12, 12, 3))
    x = L.ReLU(name="stem_relu")(L.BatchNormalization(name="stem_bn")(L.Conv2D(5, 3, name="stem")(given)))
    y = L.ReLU(name="a_relu")(L.BatchNormalization(name="a_bn")(L.Conv2D(5, 3, padding="same", name="a")(x)))
    y = L.BatchNormalization(name="b_bn")(L.Conv2D(5, 3, padding="same", name="b")(y))
    x = L.ReLU(name="sum_relu")(L.Add(name="sum")([x, y]))
    tf_keras.Model(given, L.Dense(2, name="head")(L.GlobalAveragePooling2D()(x))).save(tmp_path / "model", save_format="tf")
    artefact = open_artefact(tmp_path / "model")
    graph = next(artefact.graphs())
    found = taps(graph, graph.outputs, {}, None, names={v.key: v.name for v in artefact.variables})
    declared = [(tap.tf, tap.op) for tap in found if tap.declared and tap.stage == "parameters"]
    norm = "FusedBatchNormV3"
    assert declared == [
        *(("stem", "BiasAdd"), ("stem_bn", norm), ("a", "BiasAdd"), ("a_bn", norm), ("b", "BiasAdd"), ("b_bn", norm)),
        ("head", "BiasAdd"),
    ]
    joins = [(tap.tf.rpartition("/")[2], tap.op, tap.declared) for tap in found if tap.stage == "join"]
    assert joins == [("sum", "AddV2", False), ("sum_relu", "Relu", False)]
    assert {tap.layout for tap in found if tap.tf.startswith(("stem", "a", "b"))} == {"NHWC"}


def test_every_layer_of_a_network_that_nobody_here_wrote_has_a_tap(basic_pitch: Path) -> None:
    artefact = open_artefact(basic_pitch / "nmp")
    graph = next(artefact.graphs())
    found = taps(graph, graph.outputs, {}, None, names={v.key: v.name for v in artefact.variables})
    layers = {v.name.rpartition("/")[0] for v in artefact.variables if v.slot is None}
    assert sorted(tap.tf for tap in found if tap.stage == "parameters") == sorted(layers)
    assert len(layers) == 9
    activations = {tap.tf: tap.op for tap in found if tap.stage == "activation"}
    assert activations == {
        **dict.fromkeys(("contours-reduced", "conv2d_3", "conv2d_5"), "Sigmoid"),
        **dict.fromkeys(("batch_normalization_2", "batch_normalization_3", "conv2d_2"), "Relu"),
    }


def test_a_graph_that_lacks_a_node_is_refused() -> None:
    graph = traced(lambda x: tf.nn.relu(x, name="relu"), (None, 3))
    broken = Graph({name: node for name, node in graph.nodes.items() if name != "x"}, {}, graph.outputs)
    with pytest.raises(BadInput, match="takes 'x', which it does not hold"):
        taps(broken, broken.outputs, {}, None)
