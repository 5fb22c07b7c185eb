"""A run that cannot get better is stopped with what was seen and what to try."""

from __future__ import annotations

import math

import pytest

from stylexport.training.logging.divergence import Divergence, Stopped

WELL = {"image_l1": 0.1, "one_answer": 0.55, "commonest_answer": 0.52}
COLLAPSED = WELL | {"one_answer": 1.0}
STUCK = WELL | {"image_l1": 0.21}


def divergence(after: int = 300) -> Divergence:
    return Divergence(after, blank_l1=0.2, best_l1=0.2)


def test_one_answer_for_all_reconstructions_stops_the_run_after_so_many_steps() -> None:
    own = divergence()
    own.check(100, 100, COLLAPSED)
    own.check(200, 100, COLLAPSED)
    with pytest.raises(Stopped, match=r"step 300: for 300 steps the classifier has given 100% .* one answer, and only 52% of the images"):
        own.check(300, 100, COLLAPSED)


def test_one_answer_for_images_of_one_label_is_no_collapse() -> None:
    own = divergence(100)
    for step in (100, 200, 300):
        own.check(step, 100, COLLAPSED | {"commonest_answer": 1.0})


def test_reconstructions_no_better_than_one_image_for_all_stop_the_run() -> None:
    own = divergence()
    own.check(100, 100, STUCK)
    own.check(200, 100, STUCK)
    with pytest.raises(Stopped, match=r"L1 error, 0\.210, has been no better than that of one image for all \(0\.200\) and has not fallen"):
        own.check(300, 100, STUCK)


def test_reconstructions_that_are_poor_but_get_better_are_waited_for() -> None:
    own = Divergence(200, blank_l1=0.2)
    for step, l1 in ((100, 0.5), (200, 0.4), (300, 0.35), (400, 0.34), (500, 0.345), (600, 0.33)):
        own.check(step, 100, WELL | {"image_l1": l1})
    own.check(700, 100, WELL | {"image_l1": 0.329})
    with pytest.raises(Stopped, match="has not fallen"):
        own.check(800, 100, WELL | {"image_l1": 0.36})


def test_a_fall_that_is_slow_but_steady_is_waited_for() -> None:
    own = Divergence(500, blank_l1=0.2)
    for step in range(100, 5000, 100):
        own.check(step, 100, WELL | {"image_l1": 0.6 * 0.992 ** (step / 100)})


def test_a_window_without_the_symptom_begins_the_count_anew() -> None:
    own = divergence()
    for step, means in ((100, COLLAPSED), (200, COLLAPSED), (300, WELL), (400, COLLAPSED), (500, COLLAPSED)):
        own.check(step, 100, means)
    assert own.stuck == {"classifier": 200, "reconstruction": 0}


def test_symptoms_are_counted_each_on_its_own() -> None:
    own = divergence()
    for step, means in ((100, COLLAPSED), (200, STUCK), (300, COLLAPSED), (400, STUCK)):
        own.check(step, 100, means)
    assert own.stuck == {"classifier": 0, "reconstruction": 100}


def test_a_count_goes_on_where_a_run_was_cut_off() -> None:
    own = Divergence(300, 0.2, {"classifier": 200})
    with pytest.raises(Stopped):
        own.check(900, 100, COLLAPSED)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_stops_the_run_at_once_and_is_named(value: float) -> None:
    with pytest.raises(Stopped, match=rf"step 50: discriminator, r1 became {value}.*learning_rate.*--resume"):
        divergence().check(50, 50, WELL | {"r1": value, "discriminator": value})


def test_it_may_be_told_to_look_on() -> None:
    own = divergence(0)
    for step in range(100, 5000, 100):
        own.check(step, 100, COLLAPSED | STUCK | {"one_answer": 1.0})
    with pytest.raises(Stopped):
        own.check(5000, 100, {"adversarial": math.nan})


def test_a_window_without_reconstructions_tells_nothing() -> None:
    own = divergence()
    own.check(100, 100, COLLAPSED)
    own.check(101, 1, {"adversarial": 0.7})
    assert own.stuck == {"classifier": 100, "reconstruction": 0}


def test_a_stopped_run_exits_with_one() -> None:
    assert Stopped("").exit_code == 1
