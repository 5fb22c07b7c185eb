"""The plain step is the same function as the fast one, so that their times are of the same work."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.common.plain_step import PlainStep, at_every_step, grouped_conv2d
from stylexport.torch_models.layers.modulated_conv import modulated_conv2d
from stylexport.torch_models.layers.resampling import Fir
from stylexport.training.config import OptimiserConfig
from tests.training.steps import images, settings, step_of, weights

pytestmark = pytest.mark.processor

# So slow that no weight changes that is not zero: what is painted anew for the discriminator is painted by the same generator.
STILL = settings(optimiser=OptimiserConfig(learning_rate=1e-30, discriminator_rate=1e-30))


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("up", [None, Fir([1.0, 3.0, 3.0, 1.0], axis_gain=2.0).double()])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_weight_copy_a_sample_is_the_same_convolution(up: Fir | None, rows: int) -> None:
    x, weight, style = drawn(rows, 4, 6, 6, seed=1), drawn(5, 4, 3, 3, seed=2), drawn(3, 4, seed=3)
    ours, plain = (conv(x, weight, style, 1e-8, 1.4, up) for conv in (modulated_conv2d, grouped_conv2d))
    assert plain.shape == (3, 5, 12, 12) if up else (3, 5, 6, 6)
    assert torch.allclose(ours, plain, rtol=1e-10)
    probe = torch.randn(ours.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for one, other in zip(*(torch.autograd.grad((y * probe).sum(), (x, weight, style)) for y in (ours, plain)), strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def test_the_plain_step_has_the_same_losses() -> None:
    ours, plain = step_of(STILL), step_of(at_every_step(STILL), kind=PlainStep)
    before = weights(ours)
    assert all(torch.equal(tensor, weights(plain)[name]) for name, tensor in before.items())
    for number in (0, 1):
        one, other = ours(number, images()), plain(number, images())
        assert {"image_l1", "w_l1", "agreement", "adversarial", "discriminator", "score_fake", "r1", "path_length"} <= set(one)
        assert one.keys() == other.keys()
        for name in one:
            assert float(one[name]) == pytest.approx(float(other[name]), rel=2e-4, abs=1e-6), name
    assert all(torch.allclose(tensor, weights(ours)[name], rtol=0, atol=1e-20) for name, tensor in before.items())


def test_the_plain_step_pays_penalties_at_every_step() -> None:
    lazy = settings(losses={"r1_every": 16, "path_length_every": 4})
    found = [kind(1, images()) for kind in (step_of(lazy), step_of(at_every_step(lazy), kind=PlainStep))]
    assert [{"r1", "path_length"} & set(losses) for losses in found] == [set(), {"r1", "path_length"}]


def test_the_plain_step_paints_for_the_discriminator_anew() -> None:
    """By a generator that has learned, so the discriminator sees other images."""
    quick = settings(optimiser=OptimiserConfig(learning_rate=0.05, discriminator_rate=1e-30))
    ours, plain = step_of(quick)(0, images()), step_of(at_every_step(quick), kind=PlainStep)(0, images())
    assert float(ours["adversarial"]) == pytest.approx(float(plain["adversarial"]), rel=1e-4)
    assert abs(float(ours["score_fake"]) - float(plain["score_fake"])) > 1e-3
