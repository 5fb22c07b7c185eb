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

from converter.artefacts.base import Artefact
from converter.artefacts.graph import Graph
from converter.artefacts.graphdef import FrozenGraph
from converter.artefacts.open import open_artefact
from converter.errors import BadInput
from converter.mapping.networks import recognise
from reference_tf.saved_model import DATA_FORMATS, export_network
from reference_tf.taps import Tap, taps
from tests.reference_tf.graphs import as_torch, renamed, traced, variable
from tests.reference_tf.sizes import ALL, CLASSIFIER, GENERATOR
from torch_models.config import MobileNetV1Config, resolutions

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
    return taps(graph, graph.outputs, layers, network, names=names)


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
        y = tf.nn.leaky_relu(x @ (kernel * 0.3) + bias * 0.25, 0.2)  # a quarter is no rounded number
        return y * 1.4, y + 2.0

    graph = traced(dense, (None, 4))
    count = {(tap.layer, tap.op): tap.constants for tap in taps(graph, graph.outputs, as_torch(graph), None)}
    assert count == {("fc", "AddV2"): 1, ("fc", "LeakyRelu"): 2, ("output", "Mul"): 3, ("output", "AddV2"): 2}


def test_a_constant_that_is_used_twice_counts_twice() -> None:
    weight = variable("fc/weight", 4, 4)

    def twice(x: Any) -> Any:
        gain = tf.constant(0.7)
        return (x @ weight * gain) * gain

    graph = traced(twice, (None, 4))
    assert taps(graph, graph.outputs, as_torch(graph), None)[-1].constants == 2


def in_layers(function: Any, *shapes: tuple[int | None, ...], network: str | None = None) -> list[tuple[str, str, str]]:
    """(layer, stage, node) of the taps of a traced function, without its outputs."""
    graph = traced(function, *shapes)
    return [(tap.layer, tap.stage, tap.node) for tap in taps(graph, graph.outputs, as_torch(graph), network) if tap.stage != "output"]


def per_sample_kernels(x: Any, style: Any, weight: Any) -> Any:
    """StyleGAN2's fused modulated convolution: a kernel for each sample, and one convolution with as many groups."""
    kernel = weight[None] * 0.3 * style[:, None, None, :, None]  # [N, 3, 3, I, O]
    kernel *= tf.math.rsqrt(tf.reduce_sum(tf.square(kernel), [1, 2, 3]) + 1e-8)[:, None, None, None, :]
    out = weight.shape[3]
    kernel = tf.reshape(tf.transpose(kernel, [1, 2, 3, 0, 4]), [3, 3, weight.shape[2], -1])
    x = tf.reshape(x, [1, -1, x.shape[2], x.shape[3]])
    y = tf.nn.conv2d(x, kernel, 1, "SAME", data_format="NCHW")
    return tf.reshape(y, [-1, out, y.shape[2], y.shape[3]], name="samples")


def test_a_fused_modulated_convolution_ends_at_its_activation() -> None:
    path = "synthesis/b8/conv1"
    weight, bias, strength, noise = (
        variable(f"{path}/{name}", *shape)
        for name, shape in {"weight": (3, 3, 5, 7), "bias": (7,), "noise_strength": (), "noise_const": (1, 1, 8, 8)}.items()
    )

    def layer(x: Any, style: Any) -> Any:
        y = per_sample_kernels(x, style, weight) + noise * strength
        y = tf.add(y, tf.reshape(bias, [1, -1, 1, 1]), name="biased")
        return tf.multiply(tf.nn.leaky_relu(y, 0.2), 1.4, name="gained")

    graph = traced(layer, (None, 5, 8, 8), (None, 5))
    first, output = taps(graph, graph.outputs, as_torch(graph), "generator")
    assert (first.layer, first.stage, first.node, first.layout) == ("synthesis.b8.conv1", "activation", "gained", "NCHW")
    assert output.stage == "output"
    assert in_layers(layer, (None, 5, 8, 8), (None, 5))[0] == ("synthesis.b8.conv1", "parameters", "biased")


def test_a_learned_constant_is_tapped_as_a_variable() -> None:
    const = variable("start/const", 1, 5, 4, 4)
    weight = variable("conv/weight", 1, 1, 5, 7)

    def begin(style: Any) -> Any:
        x = tf.tile(const, [tf.shape(style)[0], 1, 1, 1]) * style[:, :, None, None]
        return tf.nn.conv2d(x, weight, 1, "SAME", data_format="NCHW", name="conv")

    graph = traced(begin, (None, 5))
    found = taps(graph, graph.outputs, as_torch(graph), None)
    assert [(tap.layer, tap.stage, tap.layout, tap.declared) for tap in found] == [
        ("start", "variable", "NCHW", True),
        ("conv", "parameters", "NCHW", True),
        ("output", "output", "NCHW", True),
    ]
    assert graph.keys[found[0].node] == "start/const"


def block(gain: float | None, scale_first: bool) -> Any:
    """The last half of a residual block on [N, 6, 6, 3]: conv1 with bias and leaky ReLU, and the skip."""
    weight, bias, skip = (
        variable(f"b8/{name}", *shape)
        for name, shape in (("conv1/weight", (3, 3, 3, 4)), ("conv1/bias", (4,)), ("skip/weight", (1, 1, 3, 4)))
    )

    def forward(x: Any) -> Any:
        y = tf.nn.leaky_relu(tf.nn.conv2d(x, weight, 1, "SAME") + bias, 0.2, name="leaky")
        y = y if gain is None else tf.multiply(y, gain, name="gained")
        z = tf.nn.conv2d(x, skip, 1, "SAME", name="skipped")
        if scale_first:
            return tf.add(y * 0.7, z * 0.7, name="sum")
        return tf.multiply(y + z, 0.7, name="scaled")

    return forward


@pytest.mark.parametrize(("gain", "exit_"), [(1.4, "gained"), (None, "leaky")])
@pytest.mark.parametrize(("scale_first", "join"), [(True, "sum"), (False, "scaled")])
def test_a_blocks_scale_belongs_to_its_sum(gain: float | None, exit_: str, scale_first: bool, join: str) -> None:
    assert in_layers(block(gain, scale_first), (None, 6, 6, 3), network="encoder") == [
        ("b8.conv1", "activation", exit_),
        ("b8.skip", "parameters", "skipped"),
        ("b8", "join", join),
    ]


ACTIVATIONS = {
    "maximum": lambda x: tf.maximum(x, x * 0.2),
    "maximum, the other way round": lambda x: tf.maximum(0.2 * x, x),
    "where": lambda x: tf.where(x > 0, x, x * 0.2),
    "swish": tf.nn.silu,
    "hard swish": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
    "gelu": lambda x: 0.5 * x * (1.0 + tf.math.erf(x / 1.4142135)),
    "clip": lambda x: tf.clip_by_value(x, -1.0, 2.0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_known_however_it_is_written(name: str) -> None:
    weight, bias, next_weight = variable("one/weight", 4, 3), variable("one/bias", 3), variable("two/weight", 3, 2)

    def forward(x: Any) -> Any:
        y = ACTIVATIONS[name](tf.add(x @ weight, bias, name="biased"))
        return tf.matmul(tf.multiply(y, 1.5, name="gained"), next_weight, name="second")

    assert in_layers(forward, (None, 4)) == [
        ("one", "parameters", "biased"),
        ("one", "activation", "gained"),
        ("two", "parameters", "second"),
    ]


def test_an_activation_ends_where_other_data_join() -> None:
    weight = variable("one/weight", 4, 4)

    def gated(x: Any, gate: Any) -> Any:
        return tf.nn.relu(x @ weight, name="relu") * gate

    assert in_layers(gated, (None, 4), (None, 4))[-1] == ("one", "activation", "relu")


def test_a_normalisation_in_plain_operations_ends_at_its_offset() -> None:
    kernel = variable("unit/conv/weight", 3, 3, 3, 4)
    gamma, beta, mean, variance = (variable(f"unit/bn/{name}", 4) for name in ("weight", "bias", "running_mean", "running_var"))

    def forward(x: Any) -> Any:
        y = tf.nn.conv2d(x, kernel, 1, "SAME", name="conv")
        return tf.nn.relu6(tf.nn.batch_normalization(y, mean, variance, beta, gamma, 1e-3, name="norm"), name="act")

    assert in_layers(forward, (None, 6, 6, 3), network="classifier") == [
        ("unit.conv", "parameters", "conv"),
        ("unit.bn", "parameters", "norm/add_1"),
        ("unit.act", "activation", "act"),
    ]


def test_a_unit_without_normalisation_has_its_activation_behind_the_bias() -> None:
    kernel, bias = variable("unit/conv/weight", 3, 3, 3, 4), variable("unit/conv/bias", 4)

    def forward(x: Any) -> Any:
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias, name="biased"), name="act")

    assert in_layers(forward, (None, 6, 6, 3), network="classifier") == [
        ("unit.conv", "parameters", "biased"),
        ("unit.act", "activation", "act"),
    ]


def test_a_dilated_convolution_is_tapped_where_its_map_is_whole() -> None:
    kernel = variable("conv/weight", 3, 3, 3, 1)

    def forward(x: Any) -> Any:
        return tf.nn.relu(tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME", dilations=[2, 2]))

    graph = traced(forward, (None, 12, 12, 3))
    found = taps(graph, graph.outputs, as_torch(graph), None)
    assert [(tap.stage, tap.op, tap.layout) for tap in found[:2]] == [
        ("parameters", "BatchToSpaceND", "NHWC"),
        ("activation", "Relu", "NHWC"),
    ]


def test_a_layer_that_is_called_twice_has_a_tap_a_call() -> None:
    weight, bias = variable("shared/weight", 3, 3, 3, 4), variable("shared/bias", 4)

    def branch(x: Any, name: str) -> Any:
        return tf.add(tf.nn.conv2d(x, weight, 1, "SAME"), bias, name=name)

    def twins(x: Any, y: Any) -> Any:
        return tf.abs(branch(x, "first") - branch(y, "second"))

    found = in_layers(twins, (None, 6, 6, 3), (None, 6, 6, 3))
    assert [tap for tap in found if tap[1] == "parameters"] == [("shared", "parameters", "first"), ("shared", "parameters", "second")]


def test_a_variable_that_is_taken_in_slices_is_one_use() -> None:
    kernel = variable("gates/weight", 4, 6)

    def gates(x: Any) -> Any:
        left, right = tf.split(kernel, 2, axis=1)
        return tf.multiply(tf.sigmoid(x @ left), tf.tanh(x @ right), name="gated")

    assert [tap for tap in in_layers(gates, (None, 4)) if tap[1] == "parameters"] == [("gates", "parameters", "gated")]


def test_an_output_on_the_way_and_a_shape_that_is_asked_for_change_no_tap() -> None:
    weight, bias, side = variable("one/weight", 4, 3), variable("one/bias", 3), variable("two/weight", 3, 2)

    def forward(x: Any) -> Any:
        product = x @ weight
        y = tf.nn.relu(tf.add(product, bias, name="biased"), name="relu")
        ones = tf.ones(tf.shape(product)[:1])  # a shape is no data
        return product, y, (y @ side) * ones[:, None]

    found = in_layers(forward, (None, 4))
    assert found[:2] == [("one", "parameters", "biased"), ("one", "activation", "relu")]


def test_what_no_output_needs_has_no_tap() -> None:
    weight, dead = variable("one/weight", 4, 3), variable("dead/weight", 4, 3)

    def forward(x: Any) -> Any:
        _ = x @ dead
        return x @ weight

    assert [layer for layer, *_ in in_layers(forward, (None, 4))] == ["one"]


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


def test_variables_without_names_are_layers_of_their_own() -> None:
    weight, bias = variable("weight", 4, 3), variable("bias", 3)

    def forward(x: Any) -> Any:
        return tf.add(x @ weight, bias, name="biased")

    graph = traced(forward, (None, 4))
    numbered = Graph(graph.nodes, {name: f"variables/{i}/.ATTRIBUTES/VARIABLE_VALUE" for i, name in enumerate(graph.keys)}, graph.outputs)
    assert [(tap.layer, tap.stage, tap.op) for tap in taps(numbered, numbered.outputs, {}, None)] == [
        ("", "parameters", "MatMul"),
        ("", "parameters", "AddV2"),
        ("output", "output", "AddV2"),
    ]


def test_a_graph_that_lacks_a_node_is_refused() -> None:
    graph = traced(lambda x: tf.nn.relu(x, name="relu"), (None, 3))
    broken = Graph({name: node for name, node in graph.nodes.items() if name != "x"}, {}, graph.outputs)
    with pytest.raises(BadInput, match="takes 'x', which it does not hold"):
        taps(broken, broken.outputs, {}, None)


def test_a_learning_phase_that_nobody_feeds_is_no_data() -> None:
    phase = tf.constant(False)
    weight = variable("one/weight", 4, 3)

    def forward(x: Any) -> Any:
        training = tf.raw_ops.PlaceholderWithDefault(input=phase, shape=[])
        return tf.matmul(x, tf.where(training, weight * 2.0, weight), name="product")

    assert in_layers(forward, (None, 4)) == [("one", "parameters", "product")]


def test_the_generators_learned_constant_is_known_without_a_tile(releases: Mapping[Any, Artefact]) -> None:
    const = variable("synthesis/b4/const", 1, 7, 4, 4)
    found = in_layers(lambda style: const * style[:, :, None, None], (None, 7), network="generator")
    assert [tap[:2] for tap in found] == [("synthesis.b4", "variable")]
    assert GENERATOR.channels[0] == 7
