"""Each loss is its equation: values computed by hand or in closed form, gradients against finite differences in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stylexport.training.losses.adversarial import ADVERSARIAL
from stylexport.training.losses.classifier_kl import classifier_kl, same_answer
from stylexport.training.losses.path_length import path_lengths, path_penalty, running_mean
from stylexport.training.losses.penalties import r1, wgan_gp
from stylexport.training.losses.reconstruction import image_l1, w_l1

pytestmark = pytest.mark.processor


def drawn(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_image_loss_is_the_mean_absolute_difference() -> None:
    image, again = torch.tensor([[[[0.0, 1.0], [-1.0, 0.5]]]]), torch.tensor([[[[0.5, 1.0], [1.0, 0.25]]]])
    assert float(image_l1(image, again)) == (0.5 + 0 + 2 + 0.25) / 4


def test_the_loss_of_w_is_the_mean_absolute_difference() -> None:
    assert float(w_l1(torch.tensor([[1.0, -2.0], [0.0, 4.0]]), torch.tensor([[1.5, 2.0], [0.0, 1.0]]))) == (0.5 + 4 + 0 + 3) / 4


def test_the_logistic_game_is_two_cross_entropies() -> None:
    game, real, fake = ADVERSARIAL["logistic"], torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    expected = sum(math.log(1 + math.exp(x)) for x in (-2, 1, 0.5, 3)) / 2
    assert float(game.discriminator(real, fake)) == pytest.approx(expected, abs=1e-6)
    assert float(game.generator(fake)) == pytest.approx((math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(-3))) / 2, abs=1e-6)


def test_the_logistic_generator_does_not_saturate() -> None:
    """Where the discriminator is sure of a fake, its gradient is still nearly one."""
    score = torch.tensor([[-12.0]], requires_grad=True)
    ADVERSARIAL["logistic"].generator(score).backward()
    assert score.grad is not None
    assert float(score.grad) == pytest.approx(-1, abs=1e-4)


def test_the_wgan_game_is_a_difference_of_means() -> None:
    game, real, fake = ADVERSARIAL["wgan"], torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    assert (float(game.discriminator(real, fake)), float(game.generator(fake))) == (1.75 - 0.5, -1.75)


def test_kl_is_zero_for_one_answer_and_by_hand_for_two() -> None:
    p, q = (0.9, 0.1), (0.6, 0.4)
    logits, again = (torch.tensor([[math.log(v[0]) + 5, math.log(v[1]) + 5]], dtype=torch.float64) for v in (p, q))
    assert float(classifier_kl(logits, logits)) == pytest.approx(0, abs=1e-12)
    assert float(classifier_kl(logits, again)) == pytest.approx(0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4), abs=1e-12)
    assert float(classifier_kl(again, logits)) != pytest.approx(
        float(classifier_kl(logits, again)), abs=1e-3
    )  # the image's answer comes first


def test_kl_is_the_mean_over_images_not_over_labels() -> None:
    logits, again = drawn(4, 3), drawn(4, 3, seed=4)
    each = [float(classifier_kl(a[None], b[None])) for a, b in zip(logits, again, strict=True)]
    assert float(classifier_kl(logits, again)) == pytest.approx(sum(each) / 4, abs=1e-12)


def test_same_answer_counts_labels() -> None:
    assert float(
        same_answer(torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 4.0]]), torch.tensor([[9.0, 1.0], [5.0, 1.0], [0.0, 4.0]]))
    ) == pytest.approx(2 / 3)


def test_r1_of_a_quadratic_score_is_in_closed_form() -> None:
    """D(x) = a . x^2 / 2 has the gradient a x."""
    a, x = drawn(3, 2, 2, seed=5), drawn(4, 3, 2, 2)
    assert r1(lambda y: (a * y.square() / 2).sum((1, 2, 3))[:, None], x).item() == pytest.approx(
        float((a * x).square().sum() / 4), rel=1e-12
    )


def test_the_gradient_penalty_of_a_linear_score_is_its_norm_from_one() -> None:
    a, real, fake = drawn(3, 2, 2, seed=5), drawn(4, 3, 2, 2), drawn(4, 3, 2, 2, seed=6)
    found = wgan_gp(lambda y: (a * y).sum((1, 2, 3))[:, None], real, fake, torch.full((4, 1, 1, 1), 0.3, dtype=torch.float64))
    assert found.item() == pytest.approx((float(a.norm()) - 1) ** 2, rel=1e-9)


def test_the_gradient_penalty_looks_between_real_and_fake() -> None:
    """D(y) = |y|^2 / 2 has the gradient y itself, so the penalty tells where it was taken."""
    real, fake, share = drawn(2, 1, 2, 2), drawn(2, 1, 2, 2, seed=6), torch.tensor([0.2, 0.9], dtype=torch.float64).view(2, 1, 1, 1)
    between = share * real + (1 - share) * fake
    expected = (between.flatten(1).norm(dim=1) - 1).square().mean()
    assert wgan_gp(lambda y: y.square().sum((1, 2, 3))[:, None] / 2, real, fake, share).item() == pytest.approx(float(expected), rel=1e-9)


def test_path_lengths_of_a_linear_generator_are_the_projected_noise() -> None:
    """G(d) = A d has J = A, so |J^T y| = |A^T noise| / sqrt(H W)."""
    a, dlatent, noise = drawn(12, 5, seed=7), drawn(4, 5), drawn(4, 3, 2, 2, seed=8)
    found = path_lengths(lambda d: (d @ a.T).view(-1, 3, 2, 2), dlatent, noise)
    assert torch.allclose(found, (noise.flatten(1) @ a).norm(dim=1) / 2, rtol=1e-12)


def test_the_path_penalty_is_the_variance_round_the_running_mean() -> None:
    lengths, mean = torch.tensor([1.0, 3.0]), torch.tensor(1.5)
    assert float(path_penalty(lengths, mean)) == (0.25 + 2.25) / 2
    assert float(running_mean(mean, lengths)) == pytest.approx(1.5 + 0.01 * (2 - 1.5))


@pytest.mark.parametrize("game", ADVERSARIAL)
def test_the_games_gradients_are_the_finite_differences(game: str) -> None:
    real, fake = drawn(4, 1).requires_grad_(), drawn(4, 1, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(ADVERSARIAL[game].discriminator, (real, fake))
    assert torch.autograd.gradcheck(ADVERSARIAL[game].generator, (fake,))


def test_the_reconstructions_gradients_are_the_finite_differences() -> None:
    left, right = drawn(2, 3, 2, 2).requires_grad_(), drawn(2, 3, 2, 2, seed=4).requires_grad_()
    assert torch.autograd.gradcheck(image_l1, (left, right))
    assert torch.autograd.gradcheck(w_l1, (drawn(2, 5).requires_grad_(), drawn(2, 5, seed=4).requires_grad_()))
    assert torch.autograd.gradcheck(classifier_kl, (drawn(3, 4).requires_grad_(), drawn(3, 4, seed=4).requires_grad_()))


def test_the_penalties_gradients_reach_the_weights_as_finite_differences_say() -> None:
    """Through a score whose gradient depends on its weights: the second derivative is what a penalty teaches by."""
    x, fake, share = drawn(3, 1, 2, 2), drawn(3, 1, 2, 2, seed=4), torch.rand(3, 1, 1, 1, dtype=torch.float64)

    def score(weight: Tensor) -> object:
        return lambda y: torch.tanh(y.flatten(1) @ weight).sum(1, keepdim=True)

    weight = drawn(4, 2, seed=9).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: r1(score(w), x), (weight,))  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(lambda w: wgan_gp(score(w), x, fake, share), (weight,))  # type: ignore[arg-type]


def test_path_lengths_gradients_reach_the_generator_as_finite_differences_say() -> None:
    dlatent, noise = drawn(3, 5), drawn(3, 1, 2, 2, seed=8)

    def penalty(weight: Tensor) -> Tensor:
        lengths = path_lengths(lambda d: torch.tanh(d @ weight).view(-1, 1, 2, 2), dlatent, noise)
        return path_penalty(lengths, torch.tensor(0.7, dtype=torch.float64))

    assert torch.autograd.gradcheck(penalty, (drawn(5, 4, seed=9).requires_grad_(),))
