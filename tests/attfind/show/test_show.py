"""What is shown of an attribute, on a plain model whose images are its styles, and the pictures of it."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject, checked
from stylexport.attfind.model import Autoencoder
from stylexport.attfind.select.attributes import Attribute, Selection
from stylexport.attfind.select.goals import Goal, check
from stylexport.attfind.show.change_pictures import RAMP, animation, change_map, data_uri, picture, resized, sheet, strip
from stylexport.attfind.show.gallery import percent
from stylexport.attfind.show.show import best, show
from stylexport.common.errors import BadInput
from stylexport.pages.render import png

UNIT = (-1.0, 1.0)


def subject(shift: float = 0.5) -> Subject:
    """Images [N, 3, 1, 1] of three styles; the two logits are the first style and the second."""
    styles = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 2.0], [1.0, 1.5, -4.0], [0.2, 0.0, 7.0]], np.float32)
    low, high = styles.min(0), styles.max(0)
    effects = np.zeros((4, 2, 3, 2), np.float32)
    effects[:, 0, 0, 0], effects[:, 1, 0, 0] = low[0] - styles[:, 0], high[0] - styles[:, 0]
    effects[:, 0, 0, 1] = [0.3, 0.0, 0.0, 0.7]  # moving the first style down, the second class gains a little
    model = Autoencoder(lambda x: x[:, :, 0, 0], lambda z: z[:, :, None, None], 3, image_range=(-9.0, 9.0))
    about = {"shift": shift}
    kept = Effects(effects, styles[:, :2], styles, styles, low, high, np.ones(4, bool), (("latent", 3),), ("cat", "dog"), about)
    return Subject(kept, model, lambda images: images[:, :2, 0, 0])


CAT = Attribute(1, 0, "latent", 0, 1.0, target=0)


def test_an_example_is_the_image_before_after_and_swept() -> None:
    shown = show(subject(), CAT, images=1, frames=5)
    (only,) = shown.examples
    assert only.goal == Goal(1, 0, False)
    assert only.before[:, 0, 0].tolist() == [0.0, 3.0, 2.0]
    assert only.after[:, 0, 0].tolist() == [1.0, 3.0, 2.0]  # half of the way from 0 to 2
    assert only.sweep[:, 0, 0, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert np.ptp(only.sweep[:, 1:], 0).max() == 0
    assert (only.own, only.moved_to, only.low, only.high, only.place) == (0.0, 1.0, 0.0, 2.0, 0.0)
    assert only.after_probabilities == pytest.approx(torch.tensor([1.0, 3.0]).softmax(0).numpy())
    assert only.sweep_probabilities[3] == pytest.approx(torch.tensor([1.5, 3.0]).softmax(0).numpy())
    assert not only.flips


def test_an_image_of_the_target_s_class_is_shown_the_other_way() -> None:
    shown = show(subject(), CAT, images=4)
    found = {example.goal.image: example for example in shown.examples}
    assert sorted(found) == [0, 1, 2, 3]
    assert (found[0].goal.label, found[0].move.direction, found[0].moved_to) == (1, 0, 1.0)
    assert (found[2].goal.label, found[2].move.direction, found[2].moved_to) == (0, 1, 1.5)
    assert (shown.helps, shown.among, shown.mean) == (4, 4, pytest.approx((0.3 + 2 + 1 + 0.7) / 4))


def test_a_selection_of_one_image_shows_that_image() -> None:
    assert [example.goal.image for example in show(subject(), CAT, only=2).examples] == [2]


def test_images_are_shared_between_both_ways_and_the_better_way_gets_what_is_left() -> None:
    aims = [Goal(0, 1, True), Goal(1, 0, False), Goal(2, 0, False), Goal(3, 0, False), Goal(4, 1, True)]
    gained = np.array([0.1, 5.0, 4.0, 3.0, 0.2])
    assert [goal.image for goal in best(aims, gained, 3)] == [1, 2, 4]
    assert [goal.image for goal in best(aims, gained, 4)] == [1, 2, 4, 0]
    assert [goal.image for goal in best(aims, gained, 9)] == [1, 2, 3, 4, 0]


def test_a_way_with_too_few_images_leaves_its_places_to_the_other() -> None:
    aims = [Goal(i, 0, False) for i in range(5)] + [Goal(5, 1, True)]
    assert [goal.image for goal in best(aims, np.array([1, 2, 3, 4, 5, 0.5]), 4)] == [4, 3, 2, 5]


def test_images_that_an_attribute_does_not_help_are_left_out_unless_it_helps_nowhere() -> None:
    aims = [Goal(i, 0, False) for i in range(3)]
    assert [goal.image for goal in best(aims, np.array([-1.0, 2.0, 0.0]), 3)] == [1]
    assert [goal.image for goal in best(aims, np.array([-1.0, -2.0, 0.0]), 2)] == [2, 0]


def test_a_run_of_another_model_is_told_by_its_coordinates_and_its_logits() -> None:
    of = subject()
    assert checked(of, "run") == of
    with pytest.raises(BadInput, match=r"run: image 0 had the logits \[2\.00, 0\.00\] and now has \[4\.00, 0\.00\]"):
        checked(Subject(of.effects, of.model, lambda images: 2 * images[:, :2, 0, 0]), "run")
    larger = Autoencoder(lambda x: x[:, :, 0, 0], lambda z: z[:, :, None, None], 4)
    with pytest.raises(BadInput, match="has 3 style coordinates, the model 4"):
        checked(Subject(of.effects, larger, of.classify), "run")


def test_styles_that_a_run_does_not_keep_are_computed() -> None:
    of = subject()
    none = np.zeros((4, 0), np.float32)
    kept = Effects(of.effects.effects, of.effects.base_logits, of.effects.latents, none, none[0], none[0], of.effects.done)
    found = checked(Subject(kept, of.model, of.classify), "run").effects
    assert np.array_equal(found.styles, of.effects.styles)
    assert found.style_max.tolist() == [2.0, 3.0, 7.0]


def test_attributes_of_another_run_are_refused() -> None:
    check(subject().effects, Selection((CAT,), {}))
    with pytest.raises(BadInput, match="coordinate 8 towards label 0, the run has 3 coordinates and 2 labels"):
        check(subject().effects, Selection((CAT, Attribute(1, 8, "b8.conv0", 1, 1.0, 0)), {}))
    with pytest.raises(BadInput, match="no attributes are selected"):
        check(subject().effects, Selection((), {0: ()}))


def test_attributes_that_were_selected_on_another_model_are_refused() -> None:
    about = {"model": {"sha256": "aa"}, "classifier": {"sha256": "bb"}}
    run = replace(subject().effects, about=about)
    check(run, Selection((CAT,), {}, measured_on={"model": "aa", "classifier": "bb"}))
    with pytest.raises(BadInput, match="selected on another classifier than this run's"):
        check(run, Selection((CAT,), {}, measured_on={"model": "aa", "classifier": "cc"}))


def test_of_a_screened_run_only_images_are_shown_where_the_attribute_was_measured() -> None:
    of = subject()
    entries = {"0": [1 * 3 + 0], "1": [1 * 3 + 2]}  # CAT towards cat; reversed, towards dog, it was not measured
    of = replace(of, effects=replace(of.effects, about={"shift": 1.0, "screening": {"entries": entries}}))
    shown = show(of, CAT, images=4)
    assert [(example.goal.image, example.goal.label) for example in shown.examples] == [(1, 0), (2, 0)]
    assert (shown.helps, shown.among, shown.unknown, shown.mean) == (2, 2, 2, 1.5)


def test_a_picture_takes_the_range_s_ends_to_black_and_white() -> None:
    image = np.array([-0.5, 0.5, 1.5], np.float32)[:, None, None]
    assert picture(image, (-0.5, 1.5)).getpixel((0, 0)) == (0, 128, 255)


def test_a_change_map_is_darkest_where_nothing_moved_and_lightest_where_most_did() -> None:
    before = np.zeros((3, 1, 3))
    after = before + np.array([0.0, -0.5, 1.0])
    drawn = change_map(before, after)
    assert [drawn.getpixel((x, 0)) for x in range(3)] == [tuple(RAMP[0]), tuple(RAMP[2]), tuple(RAMP[4])]
    assert change_map(before, before).getpixel((1, 0)) == tuple(RAMP[0])


def test_pictures_grow_by_whole_pixels_and_shrink_by_averaging() -> None:
    pixels = Image.fromarray(np.array([[[9, 0, 0], [0, 7, 0]]], np.uint8))
    assert resized(pixels, 5).size == (4, 2)
    assert resized(pixels, 5).getpixel((3, 1)) == (0, 7, 0)
    assert resized(Image.new("RGB", (40, 20)), 10).size == (10, 5)


def test_an_animation_goes_there_and_back() -> None:
    frames = [Image.new("RGB", (4, 4), (level, 0, 0)) for level in (0, 100, 200)]
    with Image.open(io.BytesIO(animation(frames, 110))) as gif:
        seen = []
        for number in range(gif.n_frames):
            gif.seek(number)
            seen.append(gif.convert("RGB").getpixel((0, 0))[0])
        assert (seen, gif.info["duration"], gif.info["loop"]) == ([0, 100, 200, 100], 110, 0)


def test_large_pictures_go_into_a_page_as_jpeg() -> None:
    assert data_uri(Image.new("RGB", (300, 64))).startswith("data:image/png;base64,")
    assert data_uri(Image.new("RGB", (300, 65))).startswith("data:image/jpeg;base64,")


def test_a_sheet_has_room_for_every_row() -> None:
    one = (strip([Image.new("RGB", (10, 10), "red")] * 2), "caption")
    drawn = sheet("title", [("before", 20), ("after", 20)], [[one, one], [one, one]])
    assert sum(drawn.getpixel((x, y)) == (255, 0, 0) for x in range(drawn.width) for y in range(drawn.height)) == 4 * 200


@pytest.mark.parametrize(
    ("probability", "said"),
    [(0.0, "<0.01 %"), (0.0012, "0.12 %"), (0.42, "42 %"), (0.9876, "99 %"), (0.9987, "99.87 %"), (0.99999, ">99.99 %")],
)
def test_what_is_not_certain_is_not_called_so(probability: float, said: str) -> None:
    assert percent(probability) == said


def test_an_image_of_one_channel_is_shown_grey() -> None:
    shown = picture(np.array([[[-1.0, 1.0]]]), (-1.0, 1.0))
    assert np.asarray(shown).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert png(np.zeros((1, 2, 2))).startswith("data:image/png")
