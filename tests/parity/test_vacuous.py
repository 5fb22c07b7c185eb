"""What a layer's weights cannot show is said, and nothing is said of weights that show everything."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stylexport.parity.compare.vacuous import vacuous, vacuous_values
from stylexport.torch_models.layers.mbstd import MinibatchStd
from stylexport.torch_models.mobilenet import BatchNorm
from tests.parity.broken import network, random


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("generator", "synthesis.b8.conv0"),
        ("encoder", "b16.conv1"),
        ("classifier", "conv0.bn"),
        ("classifier", "head"),
        ("generator", "mapping.fc1"),
    ],
)
def test_asymmetric_weights_show_everything(kind: str, layer: str) -> None:
    assert vacuous(network(kind).get_submodule(layer), 4) == ()


def layer_with(kind: str, layer: str, **tensors: Tensor) -> nn.Module:
    """A layer some of whose tensors are others."""
    module = network(kind).get_submodule(layer)
    for name, value in tensors.items():
        module.state_dict()[name].copy_(value)
    return module


def test_zero_biases_and_zero_noise_are_told() -> None:
    module = layer_with("generator", "synthesis.b8.conv1", bias=torch.zeros(6), noise_strength=torch.tensor(0.0))
    assert vacuous(module) == ("bias is all zeros", "noise_strength is zero: the noise is not seen")


def test_a_batch_norm_at_its_defaults_is_told() -> None:
    assert vacuous(BatchNorm(5, 1e-3, 0.01, scale=True, center=True)) == (
        "bias is all zeros",
        "running_mean is all zeros",
        "running_var is one everywhere",
        "weight is one everywhere: the scale is not seen",
    )


def test_a_variance_too_large_for_its_epsilon_is_told() -> None:
    module = layer_with("classifier", "conv0.bn", running_var=torch.full((3,), 2e5) + random(3).abs())
    assert vacuous(module) == ("running_var is so large that an epsilon of 0.001 is not seen",)


def test_a_kernel_that_turning_round_leaves_as_it_is_is_told() -> None:
    kernel = random(6, 6, 3, 3)
    module = layer_with("encoder", "b8.conv0", weight=kernel + kernel.flip(2, 3))
    assert vacuous(module) == ("weight is symmetric when flipped: a flipped kernel is not seen",)


def test_a_kernel_symmetric_in_height_and_width_is_told() -> None:
    kernel = random(6, 6, 3, 3)
    module = layer_with("encoder", "b8.conv0", weight=kernel + kernel.transpose(2, 3))
    assert vacuous(module) == ("weight is symmetric in height and width: the two swapped are not seen",)


def test_a_symmetric_matrix_is_told() -> None:
    matrix = random(8, 8)
    module = layer_with("generator", "mapping.fc1", weight=matrix + matrix.t())
    assert vacuous(module) == ("weight is symmetric in inputs and outputs: the two swapped are not seen",)


def test_a_kernel_of_one_pixel_has_no_direction_to_mistake() -> None:
    assert vacuous(nn.Conv2d(3, 5, 1)) == ()


def test_a_constant_tensor_is_told() -> None:
    assert vacuous(layer_with("encoder", "b16.conv0", bias=torch.full((5,), 0.5))) == ("bias is 0.5 everywhere: an order is not seen",)


def test_one_group_of_samples_cannot_show_how_they_are_grouped() -> None:
    module = MinibatchStd(4, 1e-8)
    assert vacuous(module, 4) == ("4 samples are one group: how samples are grouped is not seen",)
    assert vacuous(module, 8) == ()


def test_values_that_stay_below_six_do_not_tell_relu_from_relu6() -> None:
    low, high = torch.tensor([0.0, 5.9]), torch.tensor([0.0, 6.0])
    assert vacuous_values(nn.ReLU6(), low) == ("no value reaches 6: a relu in its place is not seen",)
    assert vacuous_values(nn.ReLU(), low) == ("no value exceeds 6: a relu6 in its place is not seen",)
    assert vacuous_values(nn.ReLU6(), high) == vacuous_values(nn.ReLU(), high + 1) == vacuous_values(nn.SiLU(), low) == ()
