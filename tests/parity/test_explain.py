"""A fault that was put into a layer is named, by what puts it right, with what is left of the error at rounding."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.parity.explain.causes import CAUSES
from stylexport.parity.explain.hypotheses.attribute_hypotheses import attribute_hypotheses
from stylexport.parity.explain.hypotheses.code_changes import code_changes
from stylexport.parity.explain.hypotheses.input_hypotheses import input_hypotheses
from stylexport.parity.explain.hypotheses.output_hypotheses import output_hypotheses
from stylexport.parity.explain.hypotheses.reduced import cost, reduced
from stylexport.parity.explain.hypotheses.weight_hypotheses import weight_hypotheses
from stylexport.parity.explain.search import explain
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.selftest.changes import Change, activation, around, at, attribute, code, swap, tensor, together, without_demodulation
from stylexport.parity.verdict import EXACT
from stylexport.torch_models.layers.equalized import LeakyReLU
from stylexport.torch_models.layers.resampling import Fir
from stylexport.torch_models.layers.synthesis import SynthesisLayer
from tests.parity.broken import network, random, suspect
from tests.torch_models.plain import GENERATOR, fill

UP, SAME, RGB = "synthesis.b8.conv0", "synthesis.b16.conv1", "synthesis.b16.torgb"


def one_element(tensor: Tensor) -> Tensor:
    """The eighth number of a tensor, 0.3 too large."""
    tensor.view(-1)[7] += 0.3
    return tensor


def not_a_number(tensor: Tensor) -> Tensor:
    tensor.view(-1)[3] = float("nan")
    return tensor


def labels_swapped(tensor: Tensor) -> Tensor:
    """The last two columns of a style's weight, which the label probabilities meet."""
    return torch.cat([tensor[:, :-2], tensor[:, -2:].flip(1)], 1)


def channels_last(tensor: Tensor) -> Tensor:
    """Columns in the order H, W, C for C, H, W, of 4 x 4 pixels."""
    return tensor.unflatten(1, (-1, 16)).transpose(1, 2).flatten(1)


# cause, network, layer, fault: values that only the original's tensors show
OF_VALUES: tuple[tuple[str, str, str, Change], ...] = (
    ("bias_missing", "generator", RGB, at(RGB, tensor("bias", torch.zeros_like))),
    ("noise", "generator", SAME, at(SAME, tensor("noise_strength", torch.zeros_like))),
    ("lr_multiplier", "generator", "mapping.fc2", at("mapping.fc2", tensor("weight", lambda w: w * 0.01))),
    ("gain", "encoder", "b4.out", at("b4.out", tensor("weight", lambda w: w * math.sqrt(2)))),
    ("weight_value", "generator", SAME, at(SAME, tensor("weight", one_element))),
    ("weight_value", "encoder", "b8.conv1", at("b8.conv1", tensor("weight", not_a_number))),
)
FAULTS: tuple[tuple[str, str, str, Change], ...] = (
    *OF_VALUES,
    ("kernel_flipped", "generator", UP, at(UP, tensor("weight", lambda w: w.flip(2, 3)))),
    ("kernel_flipped", "encoder", "b16.conv0", at("b16.conv0", tensor("weight", lambda w: w.flip(3)))),
    ("kernel_flipped", "classifier", "b1.depthwise.conv", at("b1.depthwise.conv", tensor("weight", lambda w: w.flip(2, 3)))),
    ("kernel_transposed_hw", "discriminator", "b4.conv", at("b4.conv", tensor("weight", lambda w: w.transpose(2, 3)))),
    ("in_out_swapped", "encoder", "b8.conv0", at("b8.conv0", tensor("weight", lambda w: w.transpose(0, 1)))),
    ("in_out_swapped", "generator", "mapping.fc1", at("mapping.fc1", tensor("weight", lambda w: w.t()))),
    ("in_out_swapped", "encoder", "b4.fc", at("b4.fc", tensor("weight", lambda w: w.t().reshape(w.shape)))),
    ("bn_moments_swapped", "classifier", "conv0.bn", at("conv0.bn", swap("running_mean", "running_var"))),
    ("bn_affine_swapped", "classifier", "conv0.bn", at("conv0.bn", swap("weight", "bias"))),
    ("bn_epsilon", "classifier", "b2.pointwise.bn", at("b2.pointwise.bn", attribute("epsilon", 1e-5))),
    ("padding", "classifier", "conv0.conv", at("conv0.conv", attribute("padding", (1, 1, 1, 1)))),
    ("padding", "classifier", "conv0.conv", at("conv0.conv", attribute("stride", (1, 1)))),
    ("label_order", "classifier", "head", at("head", together(*(tensor(n, lambda t: t[[1, 2, 0]]) for n in ("weight", "bias"))))),
    ("label_order", "discriminator", "b4.out", at("b4.out", together(*(tensor(n, lambda t: t.flip(0)) for n in ("weight", "bias"))))),
    ("label_order", "generator", "style_vectors.b8.conv1", at("style_vectors.b8.conv1", tensor("weight", labels_swapped))),
    ("channel_order", "encoder", "b16.fromrgb", at("b16.fromrgb", tensor("weight", lambda w: w.flip(1)))),
    ("channel_order", "generator", RGB, at(RGB, tensor("weight", lambda w: w.flip(0)))),
    ("channel_order", "encoder", "b4.fc", at("b4.fc", tensor("weight", channels_last))),
    ("channel_order", "encoder", "b4.fc", at("b4.fc", around(lambda own, x: own(channels_last(x))))),
    ("logits_for_probabilities", "classifier", "head", at("head", around(lambda own, x: own(x).softmax(1)))),
    (
        "logits_for_probabilities",
        "generator",
        "style_vectors.b4.conv1",
        at("style_vectors.b4.conv1", around(lambda own, x: own(torch.cat([x[:, :-2], x[:, -2:].log()], 1)))),
    ),
    ("style_plus_one_missing", "generator", "style_vectors.b8.conv0", at("style_vectors.b8.conv0", tensor("bias", lambda b: b - 1))),
    ("bias_missing", "encoder", "b8.conv1", at("b8.conv1", around(lambda own, x: own(x) * 0 + _without_bias(own, x)))),
    ("noise", "generator", SAME, at(SAME, tensor("noise_const", lambda n: n.t()))),
    ("noise", "generator", SAME, at(SAME, around(lambda own, x, style, noise: own(x, style, "none")))),
    ("noise", "generator", SAME, at(SAME, around(lambda own, x, style, noise: own(x, style, "random")))),
    ("demodulation", "generator", UP, at(UP, attribute("epsilon", 1e-2))),
    ("demodulation", "generator", UP, at(UP, code(without_demodulation))),
    ("fir_filter", "generator", UP, at(UP, attribute("fir", Fir((1, 2, 3, 4), 2.0).double()))),
    ("fir_filter", "generator", "synthesis.b8", at("synthesis.b8", attribute("upsample", Fir((1, 3, 3, 1)).double()))),
    ("fir_filter", "encoder", "b16.skip", at("b16.skip", attribute("fir", Fir((1, 1)).double()))),
    ("residual_scale", "encoder", "b16", at("b16", attribute("residual_scale", 1.0))),
    ("residual_scale", "discriminator", "b8", at("b8", around(lambda own, x: own(x) * math.sqrt(2)))),
    ("mbstd", "discriminator", "b4.mbstd", at("b4.mbstd", attribute("group", 2))),
    ("mbstd", "discriminator", "b4.mbstd", at("b4.mbstd", around(lambda own, x: torch.cat([x, own(x)[:, -1:] * 0], 1)))),
    ("lr_multiplier", "generator", "mapping.fc2", at("mapping.fc2", attribute("lr_multiplier", 1.0))),
    ("leaky_slope", "generator", SAME, at(SAME, activation(slope=0.1))),
    ("leaky_slope", "generator", "mapping.fc0", at("mapping.fc0", activation(slope=0.17))),
    ("activation", "classifier", "conv0.act", at("conv0", attribute("act", nn.ReLU()))),
    ("activation", "encoder", "b16.conv0", at("b16.conv0", attribute("activation", None))),
    ("activation", "generator", SAME, at(SAME, around(lambda own, *args: F.relu(own(*args))))),
    ("input_range", "encoder", "b16.fromrgb", at("b16.fromrgb", around(lambda own, x: own((x + 1) / 2)))),
    ("input_range", "encoder", "b16.fromrgb", at("b16.fromrgb", around(lambda own, x: own((x - 0.3) * 1.7)))),
    ("gain", "generator", UP, at(UP, activation(gain=1.0))),
    ("unknown", "encoder", "b8.conv1", at("b8.conv1", around(lambda own, x: own(x) + x.sin().mean((2, 3))[:, :1, None, None]))),
)


def _without_bias(own: object, x: Tensor) -> Tensor:
    """A layer of the encoder whose bias is left out."""
    module = own.__self__  # type: ignore[attr-defined]
    bias = module.bias.data.clone()
    module.bias.data.zero_()
    output: Tensor = own(x)  # type: ignore[operator]
    module.bias.data.copy_(bias)
    return output


@pytest.mark.parametrize(("cause", "kind", "layer", "fault"), FAULTS, ids=[f"{row[0]}-{row[2]}-{i}" for i, row in enumerate(FAULTS)])
def test_the_cause_that_was_put_in_is_named(cause: str, kind: str, layer: str, fault: Change) -> None:
    found = explain(suspect(kind, layer, fault))
    assert (found.cause, found.network, found.layer) == (cause, kind, layer)
    assert found.residual <= EXACT < found.error or cause == "unknown"


def test_every_cause_is_put_in_once_at_least() -> None:
    # Of users' networks: test_explain_padding.py, test_sequences.py, test_calls.py, test_own_tensors.py, test_users_module.py.
    elsewhere = {"pooling", "resizing", "number_of_calls", "parameter_place", "direction", "attention", "gate_order", "forget_bias"}
    elsewhere |= {"update_gate", "reset_gate", "norm_epsilon", "norm_groups"}
    assert {row[0] for row in FAULTS} == set(CAUSES) - elsewhere


# Without the original's tensors the cause is still named, but for tensors whose right values nothing else shows.
ACTIVATIONS_TELL = [row for row in FAULTS if row not in OF_VALUES and row[0] != "unknown"]


@pytest.mark.parametrize(
    ("cause", "kind", "layer", "fault"), ACTIVATIONS_TELL, ids=[f"{r[0]}-{r[2]}-{i}" for i, r in enumerate(ACTIVATIONS_TELL)]
)
def test_the_cause_is_named_from_activations_alone(cause: str, kind: str, layer: str, fault: Change) -> None:
    found = explain(suspect(kind, layer, fault, weights=False))
    assert (found.cause, found.residual <= EXACT) == (cause, True), found.detail


def test_a_wrong_element_is_told_by_channel_index_and_both_values() -> None:
    found = explain(suspect("classifier", "b1.pointwise.conv", at("b1.pointwise.conv", tensor("weight", one_element))))
    right = float(network("classifier").state_dict()["b1.pointwise.conv.weight"].flatten()[7])
    assert found.detail == (f"b1.pointwise.conv.weight[2, 1, 0, 0] (output channel 2) is {right + 0.3:.7g}, the original's is {right:.7g}")


def test_two_faults_in_one_layer_are_both_told() -> None:
    found = explain(
        suspect("encoder", "b8.conv1", at("b8.conv1", together(activation(slope=0.1), tensor("weight", lambda w: w.flip(2, 3)))))
    )
    assert (found.cause, found.residual <= EXACT) == ("kernel_flipped", True)
    assert "(leaky_slope) b8.conv1.activation.slope is 0.1, the original's 0.2" in found.detail


def test_two_constants_of_one_configuration_are_both_told() -> None:
    own = {"leaky_slope": 0.1, "gain": 1.0}
    found = explain(suspect("encoder", "b8.conv1", at("b8.conv1", activation(slope=0.1, gain=1.0)), own=own))
    assert (found.cause, found.residual <= EXACT) == ("leaky_slope", True)
    assert "(gain) b8.conv1.activation.gain is 1, the original's 1.414214" in found.detail


def test_a_constant_that_no_one_would_suppose_is_fitted() -> None:
    broken = suspect("classifier", "b2.pointwise.bn", at("b2.pointwise.bn", attribute("epsilon", 1e-5)))
    right: nn.Module = network("classifier").get_submodule("b2.pointwise.bn")
    right.epsilon = 7e-4  # type: ignore[assignment]
    with torch.no_grad():
        expected = right(broken.args[0])
    found = explain(replace(broken, config=None, expected=expected))
    assert (found.cause, found.residual <= EXACT) == ("bn_epsilon", True)
    assert found.remedy == "set epsilon to 0.0007"


def test_the_original_s_configuration_settles_what_image_range_it_takes() -> None:
    own = {"image_scale": 1.0, "image_shift": 0.0}

    def unscaled(net: Any) -> None:
        net.config = replace(net.config, **own)

    found = explain(suspect("classifier", "conv0.conv", unscaled, own=own))
    assert (found.cause, found.residual <= EXACT) == ("input_range", True)
    assert found.remedy == "set image_scale to 1.25 and image_shift to 0.5, as the original's graph has them"


def nothing(net: nn.Module) -> None:
    """No fault."""


def test_code_round_a_right_module_is_explained_by_what_it_handed_on() -> None:
    right = suspect("generator", UP, nothing)
    silent = suspect("generator", UP, at(UP, tensor("noise_strength", torch.zeros_like))).given
    assert explain(replace(right, given=silent)).cause == "noise"
    style = suspect("generator", "style_vectors.b8.conv0", nothing)
    assert explain(replace(style, given=style.expected - 1)).cause == "style_plus_one_missing"
    head = suspect("classifier", "head", nothing)
    assert explain(replace(head, given=head.expected.softmax(1))).cause == "logits_for_probabilities"
    assert explain(replace(head, given=head.expected[:, [2, 0, 1]])).cause == "label_order"


def test_the_runner_up_is_another_cause_and_far_from_rounding() -> None:
    found = explain(suspect("encoder", "b16.conv0", at("b16.conv0", tensor("weight", lambda w: w.flip(3)))))
    assert found.runner_up is not None
    assert found.runner_up.cause != found.cause
    assert found.runner_up.residual > 1e-2


@pytest.mark.parametrize("weights", [True, False])
def test_values_that_are_not_finite_stop_nothing(weights: bool) -> None:
    broken = suspect("encoder", "b8.conv1", at("b8.conv1", tensor("weight", not_a_number)), weights=weights)
    found = explain(broken)
    assert found.error == math.inf
    assert found.cause == ("weight_value" if weights else "unknown")


def test_a_module_that_does_not_run_is_an_unknown_fault() -> None:
    broken = suspect("encoder", "b4.fc", at("b4.fc", tensor("weight", torch.zeros_like)))
    broken = replace(broken, module=nn.Linear(3, 2).double(), weights={})
    assert explain(broken).cause == "unknown"


def test_an_expensive_layer_is_examined_on_a_small_part() -> None:
    config = replace(GENERATOR, resolution=64, channels=(96,) * 5)
    right = fill(SynthesisLayer(96, 96, 64, config, up=False).double())
    wrong = fill(SynthesisLayer(96, 96, 64, config, up=False).double())
    wrong.activation = LeakyReLU(0.3, GENERATOR.gain)  # type: ignore[assignment]
    args = (random(3, 96, 64, 64), random(3, 96, seed=6))
    with torch.no_grad():
        expected, given = right(*args), wrong(*args)
    broken = Suspect("generator", "synthesis.b64.conv1", wrong, lambda m, a, k: m(*a, **k), args, {}, expected, given)
    small = reduced(broken, given)
    assert cost(small) < cost(broken) / 15
    assert small.error(small.output()) > broken.error(given)  # it holds the channels that err most
    assert explain(broken).cause == "leaky_slope"


@pytest.mark.parametrize("kind", ["generator", "encoder", "discriminator", "classifier"])
def test_every_layer_can_be_looked_at_without_an_error(kind: str) -> None:
    layers = [name for name, module in network(kind).named_modules() if name and not list(module.children()) and name != "dropout"]
    assert len(layers) > 8
    for layer in layers:
        if layer.endswith(("fir", "upsample")):
            continue
        right = suspect(kind, layer, nothing)
        for make in (weight_hypotheses, attribute_hypotheses, input_hypotheses):
            list(make(right))
        list(output_hypotheses(right, right.expected))
        list(code_changes(right, right.expected))
