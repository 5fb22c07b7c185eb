"""Where a layer ends in a graph, and where its activation does, however they are written."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from stylexport.converter.graph.graph import Graph
from stylexport.converter.graph.taps import NetworkTaps, classifier_taps, discriminator_taps, generator_taps, residual_taps, taps
from tests.converter.graph.graphs import as_torch, traced, variable

pytestmark = pytest.mark.tensorflow


def in_layers(function: Any, *shapes: tuple[int | None, ...], network: NetworkTaps | None = None) -> list[tuple[str, str, str]]:
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
    first, output = taps(graph, graph.outputs, as_torch(graph), generator_taps)
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
        ("start", "parameters", "NCHW", False),
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
    assert in_layers(block(gain, scale_first), (None, 6, 6, 3), network=residual_taps) == [
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
    "gelu by the complement": lambda x: 0.5 * x * tf.math.erfc(-x * 0.70710678),
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

    assert in_layers(forward, (None, 6, 6, 3), network=classifier_taps) == [
        ("unit.conv", "parameters", "conv"),
        ("unit.bn", "parameters", "norm/add_1"),
        ("unit.act", "activation", "act"),
    ]


def test_a_unit_without_normalisation_has_its_activation_behind_the_bias() -> None:
    kernel, bias = variable("unit/conv/weight", 3, 3, 3, 4), variable("unit/conv/bias", 4)

    def forward(x: Any) -> Any:
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias, name="biased"), name="act")

    assert in_layers(forward, (None, 6, 6, 3), network=classifier_taps) == [
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


@pytest.mark.parametrize("cut", [lambda kernel: tf.split(kernel, 2, axis=1), lambda kernel: (kernel[:, :3], kernel[:, 3:])])
def test_a_variable_that_is_taken_in_slices_is_one_use(cut: Any) -> None:
    kernel = variable("gates/weight", 4, 6)

    def gates(x: Any) -> Any:
        left, right = cut(kernel)
        return tf.multiply(tf.sigmoid(x @ left), tf.tanh(x @ right), name="gated")

    assert [tap for tap in in_layers(gates, (None, 4)) if tap[1] == "parameters"] == [("gates", "parameters", "gated")]


def test_a_vector_that_is_spread_over_a_map_has_no_layout() -> None:
    kernel, gate = variable("conv/weight", 3, 3, 3, 4), variable("gate/weight", 5, 4)

    def gated(x: Any, z: Any) -> Any:
        return tf.nn.conv2d(x, kernel, 1, "SAME") * (z @ gate)

    graph = traced(gated, (None, 6, 6, 3), (1, 5))
    layouts = {tap.layer: tap.layout for tap in taps(graph, graph.outputs, as_torch(graph), None)}
    assert layouts == {"conv": "NHWC", "gate": "", "output": "NHWC"}


def test_the_minibatchs_statistics_are_seen_before_pads_and_transposes() -> None:
    weight = variable("b4/conv/weight", 3, 3, 6, 4)

    def last(x: Any, deviation: Any) -> Any:
        y = tf.transpose(tf.concat([x, deviation], 1, name="joined"), [0, 2, 3, 1])
        return tf.nn.conv2d(tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]]), weight, 1, "VALID", name="conv")

    graph = traced(last, (None, 5, 4, 4), (None, 1, 4, 4))
    found = taps(graph, graph.outputs, as_torch(graph), discriminator_taps)[:2]
    assert [(tap.layer, tap.stage, tap.node, tap.layout) for tap in found] == [
        ("b4.mbstd", "join", "joined", "NCHW"),
        ("b4.conv", "parameters", "conv", "NHWC"),
    ]


def test_an_output_on_the_way_and_a_shape_that_is_asked_for_change_no_tap() -> None:
    weight, bias, side = variable("one/weight", 4, 3), variable("one/bias", 3), variable("two/weight", 3, 2)

    def forward(x: Any) -> Any:
        product = x @ weight
        y = tf.nn.relu(tf.add(product, bias, name="biased"), name="relu")
        ones = tf.ones(tf.shape(product)[:1])  # a shape is not data
        return product, y, (y @ side) * ones[:, None]

    found = in_layers(forward, (None, 4))
    assert found[:2] == [("one", "parameters", "biased"), ("one", "activation", "relu")]


def test_what_no_output_needs_has_no_tap() -> None:
    weight, dead = variable("one/weight", 4, 3), variable("dead/weight", 4, 3)

    def forward(x: Any) -> Any:
        _ = x @ dead
        return x @ weight

    assert [layer for layer, *_ in in_layers(forward, (None, 4))] == ["one"]


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


def test_a_learning_phase_that_nobody_feeds_is_no_data() -> None:
    phase = tf.constant(False)
    weight = variable("one/weight", 4, 3)

    def forward(x: Any) -> Any:
        training = tf.raw_ops.PlaceholderWithDefault(input=phase, shape=[])
        return tf.matmul(x, tf.where(training, weight * 2.0, weight), name="product")

    assert in_layers(forward, (None, 4)) == [("one", "parameters", "product")]


def test_the_generators_learned_constant_is_known_without_a_tile() -> None:
    const = variable("synthesis/b4/const", 1, 7, 4, 4)
    found = in_layers(lambda style: const * style[:, :, None, None], (None, 7), network=generator_taps)
    assert [tap[:2] for tap in found] == [("synthesis.b4", "variable")]


@pytest.mark.parametrize(
    "prelu",
    [
        lambda x, a: tf.nn.relu(x) + -a * tf.nn.relu(-x),
        lambda x, a: tf.maximum(0.0, x) + a * tf.minimum(0.0, x),
        lambda x, a: tf.nn.relu(x) + a * (x - tf.abs(x)) * 0.5,
    ],
    ids=["Keras", "maximum", "abs"],
)
def test_an_activation_with_a_variable_ends_at_the_sum_of_its_two_terms(prelu: Any) -> None:
    alpha = variable("act/weight", 5)
    ((layer, stage, node), *_) = in_layers(lambda x: tf.identity(tf.identity(prelu(x, alpha), name="whole") * 2.0), (4, 5))
    assert (layer, stage) == ("act", "parameters")
    assert node.startswith("add"), node


def test_a_scaled_branch_ends_before_the_sum_with_its_input() -> None:
    gamma = variable("scale/weight", 5)
    found = in_layers(lambda x: tf.add(x, gamma * tf.tanh(x), name="total"), (4, 5))
    assert [node for layer, _, node in found if layer == "scale"] != ["total"]
