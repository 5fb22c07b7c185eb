"""Sufficiency on a plain model whose images are its styles, against a count that is written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from stylexport.attfind.counterfactual import Move
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.evaluate.evaluate import ATTRIBUTES, RANDOM, VARIANCE, evaluate
from stylexport.attfind.evaluate.evaluation_report import to_json
from stylexport.attfind.evaluate.intervals import of_rankings, wilson
from stylexport.attfind.model import Autoencoder
from stylexport.attfind.select.attributes import Attribute
from stylexport.common.errors import BadInput
from stylexport.common.types import Array

SIZE, IMAGES = 6, 25
WEIGHTS = np.array([[1.0, -2.0, 0.5, 0.0, 3.0, 0.1], [-1.5, 0.2, 0.4, 2.0, -0.3, 0.0]], np.float32)  # [L, S]


def subject(labels: int = 2) -> Subject:
    """Images [N, 3, 1, 2] of six styles; a logit is a weighted sum of them, so that effects are known."""
    weights = np.concatenate([WEIGHTS, 0.8 * WEIGHTS[:, ::-1]])[:labels]
    styles = np.random.default_rng(11).normal(size=(IMAGES, SIZE)).astype(np.float32) * np.array([1, 2, 0.5, 1.5, 0.7, 3], np.float32)
    low, high = styles.min(0), styles.max(0)
    ends = np.stack([low - styles, high - styles], 1)  # [N, 2, S]
    effects = ends[..., None] * weights.T
    model = Autoencoder(lambda x: x.flatten(1), lambda z: z.reshape(-1, 3, 1, 2), SIZE, image_range=(-20.0, 20.0))
    done = np.arange(IMAGES) != 4
    kept = Effects(effects, styles @ weights.T, styles, styles, low, high, done, (("latent", SIZE),), ("cat", "dog", "owl")[:labels])
    return Subject(kept, model, lambda images: images.flatten(1) @ torch.from_numpy(weights).T)


def attribute(direction: int, coordinate: int, target: int = 0) -> Attribute:
    return Attribute(direction, coordinate, "latent", coordinate, 1.0, target)


CHOSEN = [attribute(1, 4), attribute(0, 1), attribute(0, 3), attribute(1, 0)]
LISTS = {0: CHOSEN, 1: [attribute(1, 3, 1), attribute(0, 0, 1), attribute(0, 4, 1)]}


def flips(of: Subject, image: int, moves: list[tuple[int, int]], goal: int) -> tuple[bool, float]:
    """One image with these moves, written out: whether it flips, and its L1."""
    found = of.effects
    styles = found.styles[image].copy()
    for direction, coordinate in moves:
        styles[coordinate] = (found.style_min, found.style_max)[direction][coordinate]
    logits = of.classify(torch.from_numpy(styles)[None])[0]
    return int(logits.argmax()) == goal, float(np.abs(styles - found.styles[image]).mean())


def test_an_image_is_moved_by_the_list_of_the_other_class_and_the_count_is_the_one_written_out() -> None:
    of = subject()
    found = evaluate(of, LISTS, batch=3)
    counts = found.rankings[ATTRIBUTES]
    assert [goal.image for goal in found.goals] == [i for i in range(IMAGES) if i != 4]
    shares = []
    for k in range(4):
        rows = []
        for row, goal in enumerate(found.goals):
            own = int(of.effects.classes[goal.image])
            moves = [(a.direction, a.coordinate) for a in LISTS[1 - own][: k + 1]]
            flipped, l1 = flips(of, goal.image, moves, 1 - own)
            assert counts.flipped[0, row, k] == flipped
            assert counts.l1[0, row, k] == pytest.approx(l1, rel=1e-5)
            rows.append(flipped)
        shares.append(sum(rows) / len(rows))
    assert counts.flipped.mean((0, 1)).tolist() == pytest.approx(shares)
    assert 0 < shares[0] < shares[-1]


def test_a_class_without_a_list_is_not_a_goal() -> None:
    of = subject()
    found = evaluate(of, {0: CHOSEN})
    assert set(found.classes.tolist()) == {1}
    assert [goal.image for goal in found.goals] == [i for i in np.flatnonzero(of.effects.classes == 1).tolist() if i != 4]


def test_where_a_list_ends_its_images_stay_as_all_of_it_leaves_them() -> None:
    found = evaluate(subject(), LISTS, random=2)
    towards_one = found.classes == 0
    for counts in found.rankings.values():
        assert np.array_equal(counts.flipped[:, towards_one, 3], counts.flipped[:, towards_one, 2])
        assert np.array_equal(counts.l1[:, towards_one, 3], counts.l1[:, towards_one, 2])
    assert not np.array_equal(found.rankings[ATTRIBUTES].l1[:, ~towards_one, 3], found.rankings[ATTRIBUTES].l1[:, ~towards_one, 2])
    assert found.lengths == {0: 4, 1: 3}


def test_of_three_classes_only_others_than_the_target_are_counted_and_only_its_label_is_a_flip() -> None:
    of = subject(3)
    found = evaluate(of, {2: [attribute(1, 4, 2), attribute(1, 1, 2)]}, random=2)
    assert 2 not in found.classes
    assert {goal.label for goal in found.goals} == {2}
    for row, goal in enumerate(found.goals):
        assert found.rankings[ATTRIBUTES].flipped[0, row, 1] == flips(of, goal.image, [(1, 4), (1, 1)], 2)[0]


def test_of_three_classes_with_two_lists_an_image_of_the_third_counts_once_for_each() -> None:
    of = subject(3)
    lists = {2: [attribute(1, 4, 2), attribute(1, 1, 2)], 0: [attribute(1, 4, 0)]}
    found = evaluate(of, lists, random=2)
    third = [(goal.image, goal.label) for goal, own in zip(found.goals, found.classes, strict=True) if own == 1]
    assert third == [(i, t) for i in np.flatnonzero(of.effects.classes == 1).tolist() if i != 4 for t in (2, 0)]


def test_more_attributes_than_are_selected_are_refused() -> None:
    with pytest.raises(BadInput, match=r"first 9 .* 4 are selected"):
        evaluate(subject(), LISTS, top=9)


def test_a_target_that_every_image_of_three_classes_is_already_leaves_nothing_to_count() -> None:
    of = subject(3)
    of = replace(of, effects=replace(of.effects, base_logits=of.effects.base_logits + np.array([0, 0, 99], np.float32)))
    with pytest.raises(BadInput, match="no measured image is of another class than owl"):
        evaluate(of, {2: [attribute(1, 4, 2)]})


def test_the_baselines_take_the_better_direction_and_random_ones_repeat_with_their_seed() -> None:
    from stylexport.attfind.evaluate.evaluate import drawn, varying
    from stylexport.attfind.select.goals import gains, towards

    of = subject()
    aims = towards(of.effects, 0)
    mean = gains(of.effects, aims).mean(0)
    order = np.argsort(-of.effects.styles.var(0))
    assert varying(of.effects, aims, 3) == [Move(int(mean[:, c].argmax()), int(c)) for c in order[:3]]
    rankings = drawn(of.effects, aims, 4, 7, seed=2)
    assert rankings == drawn(of.effects, aims, 4, 7, seed=2) != drawn(of.effects, aims, 4, 7, seed=3)
    assert all(len({step.coordinate for step in one}) == 4 for one in rankings)
    assert all(mean[step.direction, step.coordinate] == mean[:, step.coordinate].max() for one in rankings for step in one)


def test_the_attributes_that_matter_flip_more_than_random_ones() -> None:
    found = evaluate(subject(), LISTS, top=3, random=8)
    assert found.rankings[ATTRIBUTES].share()[-1] > found.rankings[RANDOM].share()[-1]
    assert found.rankings[RANDOM].flipped.shape == (8, 24, 3)
    assert found.rankings[VARIANCE].flipped.shape == (1, 24, 3)


def test_the_least_number_is_the_first_that_flips() -> None:
    found = evaluate(subject(), LISTS)
    flipped = found.rankings[ATTRIBUTES].flipped[0]
    for k, row in zip(found.least.tolist(), flipped, strict=True):
        assert row.tolist()[:k] == [False] * (k - 1) + [True] if k else not row.any()
    values = to_json(found, subject(), seed=0)
    assert sum(values["least"]["counts"]) + values["least"]["never"] == 24
    assert values["least"]["counts"][0] == int(flipped[:, 0].sum())


def test_the_gap_is_what_the_goal_s_logit_lacks_at_first() -> None:
    of = subject()
    base = of.effects.base_logits[[i for i in range(IMAGES) if i != 4]]
    assert to_json(evaluate(of, LISTS), of, seed=0)["gap"] == pytest.approx(float(np.median(np.abs(base[:, 0] - base[:, 1]))))


def test_json_holds_each_class_and_its_interval() -> None:
    found = evaluate(subject(), LISTS)
    rows = to_json(found, subject(), seed=0)["sufficiency"][ATTRIBUTES]
    own = found.classes == 1
    assert rows["classes"]["dog"][1]["images"] == own.sum()
    assert rows["classes"]["dog"][1]["share"] == pytest.approx(found.rankings[ATTRIBUTES].flipped[0, own, 1].mean())
    assert (rows["all"][3]["low"], rows["all"][3]["high"]) == pytest.approx(wilson(rows["all"][3]["share"], 24))


@pytest.mark.parametrize(("flipped", "count"), [(8, 10), (30, 250), (1, 7), (249, 250)])
def test_wilson_s_ends_are_the_shares_from_which_the_found_one_is_1_96_deviations_away(flipped: int, count: int) -> None:
    found = flipped / count
    low, high = wilson(found, count)
    assert low < found < high
    for end in (low, high):
        assert abs(found - end) / np.sqrt(end * (1 - end) / count) == pytest.approx(1.959964, abs=1e-6)


def test_no_flip_among_ten_is_not_never() -> None:
    assert wilson(0.0, 10) == pytest.approx((0.0, 1.959964**2 / (10 + 1.959964**2)))
    assert wilson(1.0, 10) == pytest.approx((10 / (10 + 1.959964**2), 1.0))


def test_rankings_that_differ_widen_the_interval() -> None:
    flipped = np.zeros((4, 50, 1), bool)
    flipped[0] = True
    low, high = of_rankings(flipped)
    alone = wilson(0.25, 50)
    assert low[0] < alone[0] - 0.05
    assert high[0] > alone[1] + 0.05


def test_one_ranking_s_interval_is_wilson_s() -> None:
    flipped = np.arange(20).reshape(1, 20, 1) < 7
    low, high = of_rankings(flipped)
    assert (low[0], high[0]) == wilson(0.35, 20)


def test_a_distance_is_asked_of_each_changed_image_and_the_unchanged_one() -> None:
    of = subject()
    found = evaluate(of, LISTS, distance=lambda left, right: ((left - right) / 20).square().mean((1, 2, 3)))
    measured = found.rankings[ATTRIBUTES].lpips
    assert measured is not None
    assert found.goals[3].image == 3
    assert measured[0, 3, 2] == pytest.approx(squares(of, 3), rel=1e-4)


def squares(of: Subject, image: int) -> float:
    """The mean square of an image's change by the first three attributes, in twentieths."""
    own = int(of.effects.classes[image])
    styles: Array = of.effects.styles[image].copy()
    for a in LISTS[1 - own][:3]:
        styles[a.coordinate] = (of.effects.style_min, of.effects.style_max)[a.direction][a.coordinate]
    return float(np.square((styles - of.effects.styles[image]) / 20).mean())
