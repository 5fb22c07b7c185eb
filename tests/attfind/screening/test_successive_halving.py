"""A race finds the strongest arms within its budget, follows algorithm 1, and knows when it found nothing."""

import numpy as np
import pytest

from stylexport.attfind.screening.successive_halving import Plan, above, joined, plan, race
from stylexport.attfind.select.strategies import Array, greedy

IMAGES, ARMS = 60, 900


def gains(seed: int) -> Array:
    """Few strong arms among many weak ones; an arm's gain varies between images, and is zero on a third of them."""
    draw = np.random.default_rng(seed)
    strength = draw.exponential(0.05, ARMS) + (draw.random(ARMS) < 0.02) * draw.uniform(0.5, 2, ARMS)
    return strength * draw.gamma(2.0, 0.5, (IMAGES, ARMS)) * (draw.random((IMAGES, ARMS)) < 2 / 3)


class Counted:
    """Measures, and counts what it was asked."""

    def __init__(self, true: Array) -> None:
        self.true, self.asked = true, 0

    def __call__(self, image: int, arms: object) -> Array:
        found = self.true[image, np.array(arms)]
        self.asked += len(found)
        return found


@pytest.mark.parametrize("seed", range(5))
def test_a_tenth_of_the_measurements_finds_the_top_ten_and_what_algorithm_1_takes(seed: int) -> None:
    true = gains(seed)
    predicted = true * np.random.default_rng(seed + 100).lognormal(0, 0.7, true.shape)  # within a factor of two, mostly
    measure = Counted(true)
    budget = 0.1 * true.size
    found = race(predicted, measure, plan(ARMS, IMAGES, budget), top=10, seed=seed)
    assert set(np.argsort(-true.mean(0))[:10].tolist()) <= set(found.arms)
    kept = np.zeros_like(true)
    kept[:, found.arms] = true[:, found.arms]
    chosen = [greedy(gains.reshape(IMAGES, 2, -1), 1.0, 10, lambda move: True).moves for gains in (kept, true)]
    assert chosen[0] == chosen[1]
    assert measure.asked <= budget
    assert found.recall > 0.9


def test_the_arms_come_best_first_by_their_measured_mean() -> None:
    true = gains(7)
    arms = race(true, Counted(true), plan(ARMS, IMAGES, 0.1 * true.size), top=10).arms
    means = true.mean(0)[list(arms)]
    assert means.tolist() == sorted(means, reverse=True)
    assert len(set(arms)) == len(arms) > 10


def test_predictions_that_say_nothing_are_seen_through() -> None:
    draw = np.random.default_rng(3)
    true = draw.gamma(1.0, 1.0, (IMAGES, 1)) * draw.uniform(0.8, 1.2, ARMS) * draw.gamma(4.0, 0.25, (IMAGES, ARMS))
    found = race(draw.random(true.shape), Counted(true), plan(ARMS, IMAGES, 0.1 * true.size), top=10)
    share = np.isin(np.argsort(-true.mean(0))[:10], found.arms).mean()
    assert share < 0.6, "the example is too easy to show anything"
    assert found.recall < 0.6


def test_an_arm_for_the_one_image_that_the_strongest_leave_unmoved_is_found() -> None:
    true = np.zeros((40, 300))
    true[:, :30] = np.linspace(1.3, 1.1, 30)  # the strongest move all images but the last by more than 1
    true[39, :] = 0.0
    true[39, 222] = 0.9  # which one arm alone moves, that is weak on average
    found = race(true, Counted(true), plan(300, 40, 0.1 * true.size), top=10)
    assert 222 in found.arms


def test_a_race_that_can_afford_everything_measures_everything() -> None:
    true = gains(1)[:6, :40]
    found = race(np.ones_like(true), Counted(true), Plan(40, 2, 40, 0, true.size), top=10)
    assert sorted(found.arms) == list(range(40))
    assert found.recall == 1


def test_a_sample_of_two_images_counts_by_its_certainty() -> None:
    twice = np.array([[1.0, 2.0], [1.0, 4.0]])
    sure, _ = joined(twice, 50, np.array([0.5, 0.5]), np.array([1e-6, 1e-6]))
    np.testing.assert_allclose(sure, 0.5, atol=1e-6)
    open_minded, error = joined(twice, 50, np.array([0.5, 0.5]), np.array([1e6, 1e6]))
    np.testing.assert_allclose(open_minded, [1, 3], atol=1e-6)
    assert error[1] > error[0] > 0
    everything, none = joined(twice, 2, np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    assert (everything.tolist(), none.tolist()) == ([1, 3], [0, 0])


def test_the_probability_above_a_bar_is_the_normal_one() -> None:
    np.testing.assert_allclose(above(1.0, np.array([1.0, 0.0, 3.0]), np.array([0.3, 1.0, 1.0])), [0.5, 0.158655, 0.977250], atol=1e-6)
