"""Encoder and discriminator against their formulas."""

from __future__ import annotations

import pytest
import torch

from stylexport.torch_models import Discriminator, Encoder
from stylexport.torch_models.config import EncoderConfig
from tests.torch_models.plain import DISCRIMINATOR, ENCODER, fill, trunk

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def test_the_encoder_equals_its_formulas():
    encoder = fill(Encoder(ENCODER)).double()
    torch.testing.assert_close(encoder(IMAGES), trunk(encoder.state_dict(), IMAGES), atol=1e-12, rtol=0)


def test_the_discriminator_sums_its_outputs_under_the_label_probabilities():
    discriminator = fill(Discriminator(DISCRIMINATOR)).double()
    labels = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64).repeat(2, 1)
    outputs = trunk(discriminator.state_dict(), IMAGES[:4], group=4)
    expected = (outputs * labels).sum(1)[:, None]
    torch.testing.assert_close(discriminator(IMAGES[:4], labels), expected, atol=1e-12, rtol=0)


def test_state_dict_names_and_shapes_are_the_converters():
    shapes = {name: tuple(t.shape) for name, t in Discriminator(DISCRIMINATOR).state_dict().items()}
    assert shapes == {
        "b16.fromrgb.weight": (5, 3, 1, 1),
        "b16.fromrgb.bias": (5,),
        "b16.conv0.weight": (5, 5, 3, 3),
        "b16.conv0.bias": (5,),
        "b16.conv1.weight": (6, 5, 3, 3),
        "b16.conv1.bias": (6,),
        "b16.skip.weight": (6, 5, 1, 1),
        "b8.conv0.weight": (6, 6, 3, 3),
        "b8.conv0.bias": (6,),
        "b8.conv1.weight": (7, 6, 3, 3),
        "b8.conv1.bias": (7,),
        "b8.skip.weight": (7, 6, 1, 1),
        "b4.conv.weight": (7, 8, 3, 3),
        "b4.conv.bias": (7,),
        "b4.fc.weight": (10, 112),
        "b4.fc.bias": (10,),
        "b4.out.weight": (3, 10),
        "b4.out.bias": (3,),
    }
    encoder = {name: tuple(t.shape) for name, t in Encoder(ENCODER).state_dict().items()}
    assert encoder == shapes | {"b4.conv.weight": (7, 7, 3, 3), "b4.out.weight": (8, 10), "b4.out.bias": (8,)}


def test_the_discriminators_minibatch_layer_can_be_tapped_by_name():
    assert type(Discriminator(DISCRIMINATOR).get_submodule("b4.mbstd")).__name__ == "MinibatchStd"


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[N, 3, 16, 16\] here \(channels first\), not \[6, 16, 16, 3\]"):
        Encoder(ENCODER)(IMAGES.permute(0, 2, 3, 1))


def test_label_probabilities_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\[4, 3\] for these images, not \[4, 1\]"):
        Discriminator(DISCRIMINATOR)(IMAGES[:4].float(), torch.ones(4, 1))


def test_channels_that_do_not_fit_the_resolution_are_refused():
    with pytest.raises(ValueError, match="channel counts"):
        Encoder(EncoderConfig(16, channels=(7, 6)))
