"""First and second order gradients, against finite differences in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from stylexport.torch_models import Discriminator, Generator, MobileNetV1
from stylexport.torch_models.layers.modulated_conv import modulated_conv2d, modulated_pointwise
from stylexport.torch_models.layers.resampling import Fir
from tests.torch_models.plain import DISCRIMINATOR, GENERATOR, MOBILENET, TAPS, fill


def leaf(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("up", [False, True])
def test_the_modulated_convolution_differentiates_twice_in_input_weight_and_style(up: bool):
    fir = Fir(TAPS, axis_gain=2.0) if up else None
    inputs = (leaf(2, 2, 3, 3, seed=0), leaf(2, 2, 3, 3, seed=1), leaf(2, 2, seed=2))

    def call(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
        return modulated_conv2d(x, weight, style, 1e-8, gain=1.5, up=fir)

    assert gradcheck(call, inputs, fast_mode=True)
    assert gradgradcheck(call, inputs, fast_mode=True)


def test_torgb_differentiates_twice():
    inputs = (leaf(2, 3, 2, 2, seed=0), leaf(3, 3, 1, 1, seed=1), leaf(2, 3, seed=2))
    assert gradgradcheck(modulated_pointwise, inputs, fast_mode=True)


def path_length(generator: Generator, dlatent: Tensor, direction: Tensor) -> Tensor:
    """Path length of StyleGAN2, section 3.2: the norm of the image's Jacobian transposed times a direction."""
    (slope,) = torch.autograd.grad((generator(dlatent) * direction).sum(), dlatent, create_graph=True)
    return slope.norm(dim=1).mean()


def test_path_length_has_the_gradient_that_finite_differences_have():
    generator = fill(Generator(GENERATOR)).double()
    assert isinstance(generator, Generator)
    dlatent, direction = leaf(2, 10, seed=3), leaf(2, 3, 16, 16, seed=4).detach()
    for name in ("synthesis.b8.conv0.weight", "synthesis.b16.conv1.bias", "style_vectors.b4.conv1.weight", "synthesis.b4.const"):
        parameter = generator.get_parameter(name)
        (slope,) = torch.autograd.grad(path_length(generator, dlatent, direction), parameter)
        along = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        lengths = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                parameter.add_(along, alpha=step)
            lengths.append(path_length(generator, dlatent, direction).item())
            with torch.no_grad():
                parameter.sub_(along, alpha=step)
        expected = (lengths[0] - lengths[1]) / 2e-6
        assert abs(expected) > 1e-6, name
        assert (slope * along).sum().item() == pytest.approx(expected, rel=1e-4), name


def test_path_length_in_float32_has_finite_gradients_that_agree_with_float64():
    single, double = fill(Generator(GENERATOR)), fill(Generator(GENERATOR)).double()
    assert isinstance(single, Generator)
    assert isinstance(double, Generator)
    dlatent, direction = leaf(2, 10, seed=3), leaf(2, 3, 16, 16, seed=4).detach()
    path_length(double, dlatent, direction).backward()
    path_length(single, dlatent.detach().float().requires_grad_(), direction.float()).backward()
    for (name, a), b in zip(single.synthesis.named_parameters(), double.synthesis.parameters(), strict=True):
        if b.grad is not None and b.grad.norm() > 1e-8:
            assert a.grad is not None
            assert (a.grad.double() - b.grad).norm() < 1e-3 * b.grad.norm(), name


def test_r1_differentiates_the_discriminator_twice():
    discriminator = fill(Discriminator(DISCRIMINATOR)).double()
    images, labels = leaf(4, 3, 16, 16, seed=6), torch.tensor([[0.5, 0.2, 0.3]], dtype=torch.float64).repeat(4, 1)

    def penalty(images: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)
        return slope.square().sum()

    assert gradcheck(penalty, (images,), fast_mode=True)


def test_every_parameter_of_generator_and_classifier_receives_a_gradient():
    generator, classifier = fill(Generator(GENERATOR)), fill(MobileNetV1(MOBILENET)).eval()
    assert isinstance(generator, Generator)
    w = generator.mapping(torch.linspace(-1, 2, 18).reshape(2, 9))
    dlatent = torch.cat([w, torch.tensor([[0.3, 0.7], [0.9, 0.1]])], 1)
    classifier(generator(dlatent)).square().sum().backward()
    for name, parameter in [*generator.named_parameters(), *classifier.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
