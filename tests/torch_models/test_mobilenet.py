"""MobileNetV1 with TensorFlow's padding and Keras's BatchNorm."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stylexport.torch_models import MobileNetV1
from stylexport.torch_models.config import ConvSpec, MobileNetV1Config, mobilenet_layers
from stylexport.torch_models.layers.activations import ACTIVATIONS, activation
from tests.torch_models.plain import MOBILENET, fill

IMAGES = torch.randn(2, 3, 32, 31, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def plain(config: MobileNetV1Config, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network's formulas in eval mode: pad, convolve, normalise, clip, one layer after another."""
    x = x * config.image_scale + config.image_shift
    names = ["conv0", *(f"b{i}.{part}" for i in range(1, len(config.layers)) for part in ("depthwise", "pointwise"))]
    for name, spec in zip(names, config.layers, strict=False):
        pads = []
        for size, k, s in ((x.shape[3], spec.kernel[1], spec.stride[1]), (x.shape[2], spec.kernel[0], spec.stride[0])):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            pads += [total // 2, total - total // 2]
        weight = state[f"{name}.conv.weight"]
        x = F.conv2d(F.pad(x, pads), weight, stride=spec.stride, groups=len(weight) if spec.depthwise else 1)
        own = {k: state[f"{name}.bn.{k}"][:, None, None] for k in ("weight", "bias", "running_mean", "running_var")}
        x = (x - own["running_mean"]) / (own["running_var"] + spec.epsilon).sqrt() * own["weight"] + own["bias"]
        x = x.clamp(0, 6)
    return x.mean((2, 3)) @ state["head.weight"][:, :, 0, 0].t() + state["head.bias"]


def test_the_network_equals_its_formulas_on_even_and_odd_sides():
    model = fill(MobileNetV1(MOBILENET)).double().eval()
    torch.testing.assert_close(model(IMAGES), plain(MOBILENET, model.state_dict(), IMAGES), atol=1e-12, rtol=0)


def test_state_dict_names_and_shapes_are_the_converters():
    config = MobileNetV1Config(mobilenet_layers(width=0.25), labels=5)
    shapes = {name: tuple(t.shape) for name, t in MobileNetV1(config).state_dict().items()}
    assert len(config.layers) == 27
    assert shapes["conv0.conv.weight"] == (8, 3, 3, 3)
    assert shapes["b1.depthwise.conv.weight"] == (8, 1, 3, 3)
    assert shapes["b1.pointwise.conv.weight"] == (16, 8, 1, 1)
    assert shapes["b13.pointwise.conv.weight"] == (256, 256, 1, 1)
    assert shapes["head.weight"] == (5, 256, 1, 1)
    assert shapes["head.bias"] == (5,)
    assert {n.split(".bn.")[1] for n in shapes if ".bn." in n} == {"weight", "bias", "running_mean", "running_var"}
    assert len(shapes) == 27 * 5 + 2


def test_bias_scale_offset_and_head_bias_are_there_only_where_the_specification_has_them():
    layers = (
        ConvSpec(4, bias=True, epsilon=None),
        ConvSpec(4, depthwise=True, scale=False),
        ConvSpec(6, kernel=(1, 1), center=False),
    )
    assert set(MobileNetV1(MobileNetV1Config(layers, head_bias=False)).state_dict()) == {
        "conv0.conv.weight",
        "conv0.conv.bias",
        "b1.depthwise.conv.weight",
        *(f"b1.depthwise.bn.{k}" for k in ("bias", "running_mean", "running_var")),
        "b1.pointwise.conv.weight",
        *(f"b1.pointwise.bn.{k}" for k in ("weight", "running_mean", "running_var")),
        "head.weight",
    }


def test_explicit_padding_is_top_bottom_left_right():
    spec = ConvSpec(2, kernel=(3, 2), stride=(2, 2), padding=(0, 3, 1, 2), epsilon=None, activation="linear")
    model = fill(MobileNetV1(MobileNetV1Config((spec,)))).double()
    padded = torch.zeros(2, 3, 35, 34, dtype=torch.float64)
    padded[:, :, :32, 1:32] = IMAGES
    expected = F.conv2d(padded, model.state_dict()["conv0.conv.weight"], stride=2)
    torch.testing.assert_close(model.get_submodule("conv0")(IMAGES), expected)


def test_a_depthwise_multiplier_keeps_the_channels_of_one_input_together():
    layers = (
        ConvSpec(2, epsilon=None),
        ConvSpec(6, depthwise=True, epsilon=None, activation="linear"),
        ConvSpec(3, kernel=(1, 1)),
    )
    unit = fill(MobileNetV1(MobileNetV1Config(layers))).double().get_submodule("b1.depthwise")
    x = IMAGES[:, :2]
    weight = unit.conv.weight
    expected = torch.cat([F.conv2d(x[:, c // 3 : c // 3 + 1], weight[c : c + 1], padding=1) for c in range(6)], 1)
    torch.testing.assert_close(unit(x), expected)


def test_training_moves_the_statistics_by_the_momentum():
    model = MobileNetV1(dataclasses.replace(MOBILENET, momentum=0.25)).double().train()
    taken: list[Tensor] = []
    model.get_submodule("conv0.conv").register_forward_hook(lambda m, i, out: taken.append(out))
    model(IMAGES)
    mean, var = taken[0].mean((0, 2, 3)), taken[0].transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(model.get_buffer("conv0.bn.running_mean"), 0.25 * mean)
    torch.testing.assert_close(model.get_buffer("conv0.bn.running_var"), 0.75 + 0.25 * var)


def test_statistics_kept_in_another_dtype_move_too():
    model = MobileNetV1(MOBILENET).train()
    norm = model.get_submodule("conv0.bn").double()
    model(IMAGES.float())
    assert norm.running_mean.dtype == torch.float64
    assert norm.running_mean.abs().min() > 1e-5


def test_activations_can_be_tapped_by_name_and_are_the_specifications():
    spec = dataclasses.replace(MOBILENET.layers[0], activation="leaky_relu", slope=0.3)
    model = fill(MobileNetV1(dataclasses.replace(MOBILENET, layers=(spec, *MOBILENET.layers[1:])))).double().eval()
    taken: dict[str, Tensor] = {}
    model.get_submodule("conv0.bn").register_forward_hook(lambda m, i, out: taken.update(before=out))
    model.get_submodule("conv0.act").register_forward_hook(lambda m, i, out: taken.update(after=out))
    model(IMAGES)
    x = taken["before"]
    assert (x < 0).any()
    torch.testing.assert_close(taken["after"], torch.where(x > 0, x, 0.3 * x))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("linear", [-4.0, 1.0, 7.0]), ("relu", [0.0, 1.0, 7.0]), ("relu6", [0.0, 1.0, 6.0]), ("hard_swish", [0.0, 2 / 3, 7.0])],
)
def test_activations_have_their_values(name: str, expected: list[float]):
    torch.testing.assert_close(activation(name)(torch.tensor([-4.0, 1.0, 7.0])), torch.tensor(expected))


def test_an_unknown_activation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown activation 'reloo'; known are linear, relu,"):
        activation("reloo")
    assert "swish" in ACTIVATIONS


def test_wrong_images_and_layers_are_refused():
    with pytest.raises(ValueError, match=r"channels first\), not \[2, 32, 31, 3\]"):
        MobileNetV1(MOBILENET)(IMAGES.permute(0, 2, 3, 1))
    with pytest.raises(ValueError, match="a stem and pairs"):
        MobileNetV1(MobileNetV1Config(MOBILENET.layers[:2]))
