"""Selections, against a plain transcription of the rules (docs/attfind.md), and where the rules have no answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from stylexport.attfind import Attribute, Effects, find_attributes
from stylexport.attfind.select.rules import Rules, Strategy
from stylexport.attfind.select.select import select
from stylexport.common.errors import BadInput
from tests.attfind.runs import made

S = 12
Pair = tuple[int, int]


def random_runs(count: int = 100, labels: int = 2) -> Iterator[Effects]:
    """Runs whose effects are multiples of 1/8, so that many are equal and sums are exact; in some an image is unstable."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(4, 15))
        effects = rng.integers(-6, 7, (n, 2, S, labels)) / 8 * (rng.random((n, 2, S, labels)) < 0.4)
        base = rng.normal(size=(n, labels))
        base[0], base[1] = np.eye(labels)[0], np.eye(labels)[1]
        if seed % 3 == 0:
            effects[2] = np.where(rng.random((2, S, labels)) < 0.5, 2.5, -2.5)
        yield made(effects, base)


# --- the rules, word by word and slowly ---


def zero_unstable(run: Effects, entries: int) -> list[list[list[list[float]]]]:
    images = run.effects.astype(float).tolist()
    for i, image in enumerate(images):
        if sum(abs(e) > 2 for direction in image for coordinate in direction for e in coordinate) > entries:
            images[i] = [[[0.0 for _ in coordinate] for coordinate in direction] for direction in image]
    return images


def one_list(run: Effects, target: int, T: float, top: int, entries: int) -> list[tuple[int, int, float]]:
    images = zip(zero_unstable(run, entries), run.base_logits.tolist(), strict=True)
    opposite = [image for image, logits in images if np.argmax(logits) != target]
    P = [[max(0.0, coordinate[target]) for direction in image for coordinate in direction] for image in opposite]
    whole = [row[:] for row in P]
    e = [0.0 for _ in P]
    found: list[tuple[int, int, float]] = []
    while len(found) < top:
        rows = [row for row, moved in zip(P, e, strict=True) if moved < T]
        if not rows:
            break
        means = [sum(row[j] for row in rows) / len(rows) for j in range(2 * S)]
        best = means.index(max(means))
        if means[best] == 0:
            break
        found.append((best // S, best % S, sum(row[best] for row in whole) / len(whole)))
        for i, row in enumerate(P):
            e[i] += row[best]
            row[best] = 0.0
    return found


def combined(run: Effects, top: int, entries: int) -> list[Pair]:
    first = [(d, s) for d, s, _ in one_list(run, 0, 1.0, top, entries)]
    both = first + [(1 - d, s) for d, s, _ in one_list(run, 1, 1.0, top, entries) if s not in [s2 for _, s2 in first]]
    images = zero_unstable(run, entries)

    def mean(d: int, s: int) -> float:
        return sum(image[d][s][0] for image in images) / len(images) + sum(image[1 - d][s][1] for image in images) / len(images)

    return sorted(both, key=lambda pair: -mean(*pair))[:top]


def pairs(found: list[Attribute]) -> list[Pair]:
    return [(a.direction, a.coordinate) for a in found]


# --- claims ---


@pytest.mark.parametrize("top", [3, 10])
def test_global_is_the_rule_on_a_hundred_runs(top: int) -> None:
    rules = Rules(unstable_entries=40)  # 48 entries an image: the made-unstable ones have all above 2
    for run in random_runs():
        for target in (0, 1):
            expected = [(d, s) for d, s, _ in one_list(run, target, 0.5, top, 40)]
            assert pairs(find_attributes(run, target, top=top, rules=rules)) == expected


def test_both_classes_combined_are_the_rule_on_a_hundred_runs() -> None:
    for run in random_runs():
        assert pairs(find_attributes(run, top=6, rules=Rules(unstable_entries=40))) == combined(run, 6, 40)


def test_of_three_classes_each_is_selected_against_all_others() -> None:
    for run in random_runs(20, labels=3):
        found = find_attributes(run, top=4, rules=Rules(unstable_entries=60))
        for target in range(3):
            expected = [(d, s) for d, s, _ in one_list(run, target, 0.5, 4, 60)]
            assert pairs([a for a in found if a.target == target]) == expected


def test_an_image_with_more_than_750_effects_above_2_is_unstable_and_counts_as_unmoved() -> None:
    effects, base = np.zeros((3, 2, 200, 2)), np.eye(2)[[0, 1, 1]]
    effects[2].flat[:750] = -2.125
    effects[1:, 1, 199, 0] = 0.25
    assert find_attributes(made(effects, base), 0)[0].score == 0.25
    effects[2].flat[750] = 2.125
    found = select(made(effects, base), 0)
    assert found.attributes[0].score == 0.125
    assert "1 unstable images count as unmoved (2)" in found.remarks
    effects[2].flat[750] = -2.0  # not above 2
    assert find_attributes(made(effects, base), 0)[0].score == 0.25


def test_image_fraction_ranks_by_images_over_a_fifth_and_stops_below_three_in_a_hundred() -> None:
    effects, base = np.zeros((101, 2, S, 2)), np.tile([1.0, 0.0], (101, 1))
    base[100] = [0, 1]  # not of the opposite class: it counts for nothing
    effects[:3, 1, 0, 1] = 0.25  # 3 of 100: just enough
    effects[:2, 0, 1, 1] = 9.0  # 2 of 100: too few, however much
    effects[:50, 0, 7, 1] = 0.21
    effects[:50, 1, 4, 1] = np.float32(0.2)  # not over 0.2
    effects[20:70, 0, 6, 1] = 0.3  # as many as 7: the smaller entry first
    effects[100, 0, 1, 1] = 1
    found = select(made(effects, base), 1, strategy="image-fraction")
    assert [(a.direction, a.coordinate, a.score) for a in found] == [(0, 6, 0.5), (0, 7, 0.5), (1, 0, 0.03)]
    assert any("fewer than 3%" in remark for remark in found.remarks)


def test_an_image_alone_has_its_largest_effects_towards_the_class_that_comes_second() -> None:
    for run in random_runs(20, labels=3):
        logits = run.base_logits[3]
        second = int(np.argsort(logits)[-2])
        flat = run.effects[3, :, :, second].ravel().tolist()
        expected = sorted((j for j in range(2 * S) if flat[j] > 0), key=lambda j: (-flat[j], j))[:5]
        found = find_attributes(run, strategy="independent", image=3, top=5)
        assert pairs(found) == [(j // S, j % S) for j in expected]
        assert {a.target for a in found} == {second}


def subset_run() -> Effects:
    effects, base = np.zeros((2, 2, S, 2)), np.array([[2.0, 0.5], [0.0, 1.0]])
    effects[0, 1, 3] = (-0.2, 0.6)
    effects[0, 0, 3] = (-0.2, 0.55)  # the same coordinate the other way: never with it
    effects[0, 0, 5] = (-0.1, 0.5)
    effects[0, 1, 9] = (-0.3, 0.4)
    effects[0, 1, 2] = (0.0, 0.2)
    return made(effects, base)


def test_a_subset_adds_effects_until_the_label_flips() -> None:
    found = select(subset_run(), strategy="subset", image=0)
    assert pairs(list(found)) == [(1, 3), (0, 5), (1, 9)]  # 1.6 against 1.7 after two, 2.0 against 1.4 after three
    assert "no model was asked" in " ".join(found.remarks)


def test_a_subset_that_is_measured_heeds_what_coordinates_do_together() -> None:
    run = subset_run()

    def logits(image: int, styles: np.ndarray) -> np.ndarray:
        assert image == 0
        assert styles.dtype == np.float32
        high, low = styles == run.style_max, styles == run.style_min
        own = run.styles[0]
        out = np.tile(run.base_logits[0], (len(styles), 1))
        out[:, 1] += 0.6 * high[:, 3] + 0.4 * high[:, 9] + 0.5 * (low[:, 5] & (own[5] != run.style_min[5]))
        out[:, 1] += 2.0 * (high[:, 3] & high[:, 9])  # worth more together than either with 5
        return out

    found = select(run, strategy="subset", image=0, logits=logits)
    assert pairs(list(found)) == [(1, 3), (1, 9)]
    assert found.parameters["candidates"] == (64, "this project")
    assert pairs(find_attributes(run, strategy="subset", image=0, logits=lambda i, s: np.tile(run.base_logits[0], (len(s), 1)))) == []


def test_the_discriminator_is_asked_of_the_first_ten_images_that_move_and_rejects_above_a_fifth() -> None:
    effects, base = np.zeros((30, 2, S, 2)), np.tile([0.0, 1.0], (30, 1))
    base[0] = [1, 0]
    effects[:, 1, 3, 0] = 0.5
    effects[:, 0, 0, 0] = 0.4
    effects[:5, 1, 0, 0] = 0.2  # moves no image by more than 0.2: nothing to ask
    asked: list[tuple[int, int, int, float]] = []

    def discriminator(image: int, coordinate: int, direction: int, shift: float) -> float:
        asked.append((image, coordinate, direction, shift))
        return -0.21 if (coordinate, image) == (3, 7) else 0.2

    found = select(made(effects, base), 0, discriminator=discriminator, rules=Rules(threshold=9))
    assert pairs(list(found)) == [(0, 0), (1, 0)]
    assert asked == [(i, 3, 1, 2.0) for i in range(1, 8)] + [(i, 0, 0, 2.0) for i in range(1, 11)]
    assert "1 (direction, coordinate): (1, 3)" in " ".join(found.remarks)


def test_a_coordinate_says_its_layer_and_channel() -> None:
    effects, base = np.zeros((2, 2, S, 2)), np.eye(2)
    effects[1, 1, 7, 0] = 0.75
    assert find_attributes(made(effects, base), 0) == [Attribute(1, 7, "b8.conv0", 2, 0.75, 0)]


def test_each_class_keeps_its_own_list_beside_the_combined_one() -> None:
    effects, base = np.zeros((4, 2, S, 2)), np.eye(2)[[0, 0, 1, 1]]
    effects[2:, 1, 3, 0] = 0.25  # images of b, towards a
    effects[:2, 1, 5, 1] = 0.75  # images of a, towards b
    found = select(made(effects, base))
    assert [(a.direction, a.coordinate, a.target) for a in found] == [(0, 5, 0), (1, 3, 0)]
    own = {target: [(a.direction, a.coordinate, a.target) for a in chosen] for target, chosen in found.by_class.items()}
    assert own == {0: [(1, 3, 0)], 1: [(1, 5, 1)]}


def test_coordinate_zero_is_one_like_any_other() -> None:
    effects, base = np.zeros((4, 2, S, 2)), np.eye(2)[[0, 0, 1, 1]]
    effects[2:, 0, 0, 0] = 0.25
    effects[2:, 1, 4, 0] = 0.125
    assert pairs(find_attributes(made(effects, base), 0)) == [(0, 0), (1, 4)]


def test_a_list_is_shorter_where_nothing_moves_any_more_and_says_so() -> None:
    effects, base = np.zeros((3, 2, S, 2)), np.eye(2)[[0, 1, 1]]
    effects[1:, 1, 2, 0] = 0.25
    found = select(made(effects, base), 0, top=5)
    assert pairs(list(found)) == [(1, 2)]
    assert found.remarks == ("towards a: 1 of 5 attributes: no other coordinate moves the images that are not yet moved by 0.5",)


def test_a_list_ends_where_every_image_has_moved() -> None:
    effects, base = np.full((3, 2, S, 2), 0.25), np.eye(2)[[0, 1, 1]]
    found = select(made(effects, base), 0, top=5)
    assert pairs(list(found)) == [(0, 0), (0, 1)]
    assert found.remarks == ("towards a: 2 of 5 attributes: every image is moved by 0.5 already; a larger threshold finds more",)


def test_images_of_one_class_only_give_the_other_classs_list() -> None:
    effects, base = np.zeros((3, 2, S, 2)), np.tile([2.0, 1.0], (3, 1))
    effects[:, 1, 2, 1] = 0.25
    run = made(effects, base)
    found = select(run)
    assert [(a.direction, a.coordinate, a.target) for a in found] == [(0, 2, 0)]
    assert "every measured image is of class a: there is no list towards it" in found.remarks
    assert list(found.by_class) == [1]
    with pytest.raises(BadInput, match="no measured image is of another class than a"):
        find_attributes(run, 0)


def test_images_that_are_not_measured_do_not_count() -> None:
    effects, base = np.zeros((4, 2, S, 2)), np.eye(2)[[0, 1, 1, 1]]
    effects[1:, 1, 2, 0] = (0.25, 0.5, 9)[0]
    run = made(effects, base, done=np.array([True, True, True, False]))
    effects[3] = 0
    assert find_attributes(run, 0)[0].score == 0.25
    assert "1 of 4 images are not measured yet" in select(run, 0).remarks


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ({"target": 2}, "classes are 0 to 1"),
        ({"top": 0}, "at least one"),
        ({"strategy": "independent"}, "about one image: name it"),
        ({"image": 1}, "about all images"),
        ({"strategy": "subset", "image": 5}, "images 0 to 3"),
        ({"strategy": "independent", "image": 0, "target": 0}, "of class a already"),
        ({"strategy": "best"}, "not one of global"),
    ],
)
def test_a_question_without_an_answer_is_refused(question: dict[str, object], why: str) -> None:
    run = made(np.zeros((4, 2, S, 2)), np.eye(2)[[0, 1, 1, 0]])
    with pytest.raises(BadInput, match=why):
        find_attributes(run, **question)


def test_an_unstable_image_alone_is_refused() -> None:
    run = made(np.full((2, 2, S, 2), -2.5), np.eye(2))
    strategy: Strategy
    for strategy in ("independent", "subset"):
        with pytest.raises(BadInput, match="image 1 is unstable"):
            find_attributes(run, strategy=strategy, image=1, rules=Rules(unstable_entries=47))


def test_effects_that_are_not_finite_are_refused() -> None:
    effects = np.zeros((2, 2, S, 2))
    effects[1, 0, 3, 1] = np.nan
    with pytest.raises(BadInput, match="not finite"):
        find_attributes(made(effects, np.eye(2)))
