"""Counterfactuals against a plain model whose images are its styles, and against the StylEx's own synthesis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from stylexport.attfind.counterfactual import Move, counterfactual, growing, moved
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.model import Autoencoder
from stylexport.attfind.select.goals import Goal, gains, goals, moves_for
from stylexport.attfind.stylex_model import StylExModel
from stylexport.torch_models.stylex import StylEx

pytestmark = pytest.mark.processor

LOW = np.array([-1.0, -2.0, -3.0], np.float32)
HIGH = np.array([4.0, 5.0, 6.0], np.float32)
OWN = np.array([0.5, 1.0, 3.5], np.float32)


@dataclass(frozen=True)
class Picked:
    direction: int
    coordinate: int


def as_image(latents: torch.Tensor) -> torch.Tensor:
    return latents[:, :, None, None]


def plain() -> Autoencoder:
    return Autoencoder(lambda images: images[:, :, 0, 0], as_image, 3, image_range=(-10.0, 10.0))


def test_a_move_goes_the_shift_s_share_of_the_way_to_the_end() -> None:
    found = moved(OWN, [Picked(1, 0), Picked(0, 2)], 0.5, LOW, HIGH)
    assert found.tolist() == [0.5 + 0.5 * 3.5, 1.0, 3.5 + 0.5 * -6.5]


def test_a_coordinate_that_is_named_twice_goes_where_the_first_says() -> None:
    assert moved(OWN, [Picked(0, 1), Picked(1, 1)], 1.0, LOW, HIGH)[1] == -2.0


def test_growing_makes_one_move_more_each_time() -> None:
    found = growing(OWN, [Picked(1, 2), Picked(0, 0)], 2, 1.0, LOW, HIGH)
    assert found.tolist() == [[0.5, 1.0, 6.0], [-1.0, 1.0, 6.0]]


def test_growing_stays_where_the_moves_end() -> None:
    assert growing(OWN, [Picked(0, 1)], 3, 1.0, LOW, HIGH).tolist() == [[0.5, -2.0, 3.5]] * 3
    assert growing(OWN, [], 1, 1.0, LOW, HIGH).tolist() == [OWN.tolist()]


@pytest.mark.parametrize(("move", "error"), [(Picked(2, 0), ValueError), (Picked(0, 3), IndexError), (Picked(0, -1), IndexError)])
def test_a_move_that_the_model_does_not_have_is_refused(move: Picked, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"direction 2|coordinate (3|-1)"):
        moved(OWN, [move], 1.0, LOW, HIGH)


def test_attributes_together_make_one_image_each_and_alone_one_image_an_attribute() -> None:
    latents = torch.from_numpy(np.stack([OWN, OWN + 1]))
    attributes = [Picked(1, 0), Picked(0, 1)]
    images, styles = counterfactual(plain(), latents, attributes, style_min=LOW, style_max=HIGH)
    assert images[:, :, 0, 0].tolist() == styles.tolist() == [[4.0, -2.0, 3.5], [4.0, -2.0, 4.5]]
    alone = counterfactual(plain(), latents, attributes, style_min=LOW, style_max=HIGH, together=False, batch=1)
    assert alone.images.shape == (2, 2, 3, 1, 1)
    assert alone.styles[1].tolist() == [[4.0, 2.0, 4.5], [1.5, -2.0, 4.5]]


def test_one_latent_gives_one_image() -> None:
    images, styles = counterfactual(plain(), torch.from_numpy(OWN), [Picked(1, 1)], style_min=LOW, style_max=HIGH, shift=0.25)
    assert images.shape == (3, 1, 1)
    assert styles.tolist() == [0.5, 2.0, 3.5]


def test_one_move_of_a_stylex_is_the_change_that_attfind_measures(converted: Path) -> None:
    model = StylExModel(StylEx.from_pretrained(converted))
    latents = torch.randn(2, model.generator.config.dlatent, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        styles = model.styles(latents)
    low, high = styles.min(0).values.numpy() - 1, styles.max(0).values.numpy() + 2
    layer = model.layers[2]
    found = counterfactual(model, latents, [Picked(1, layer.first + 3)], style_min=low, style_max=high)
    with torch.no_grad():
        expected = [model.editor(one).change(layer, [layer.first + 3], torch.tensor([high[layer.first + 3]]))[0] for one in latents]
        untouched = model.decode(latents)
    assert (found.images - torch.stack(expected)).abs().max() < 1e-5
    assert (found.images - untouched).abs().max() > 1e-2


def measured(logits: list[list[float]], size: int = 3) -> Effects:
    """Effects that count up, of images with these logits; the last is not measured."""
    base = np.array(logits, np.float32)
    count, labels = base.shape
    effects = np.arange(count * 2 * size * labels, dtype=np.float32).reshape(count, 2, size, labels)
    done = np.arange(count) < count - 1
    return Effects(effects, base, np.zeros((count, 4), np.float32), np.zeros((count, size), np.float32), LOW, HIGH, done)


def test_of_two_classes_the_target_s_own_images_go_the_other_way() -> None:
    found = goals(measured([[1, 2], [3, 1], [0, 1], [0, 9]]), target=1)
    assert found == [Goal(0, 0, True), Goal(1, 1, False), Goal(2, 0, True)]
    assert moves_for([Picked(1, 7)], found[0]) == [Move(0, 7)]
    assert moves_for([Picked(1, 7)], found[1]) == [Move(1, 7)]


def test_of_three_classes_the_target_s_own_images_have_no_goal() -> None:
    assert goals(measured([[1, 2, 0], [3, 1, 0], [0, 1, 5], [0, 9, 0]]), target=1) == [Goal(1, 1, False), Goal(2, 1, False)]


def test_gains_are_the_goal_s_effects_with_the_direction_turned_where_it_is() -> None:
    effects = measured([[1, 2], [3, 1], [0, 9]])
    found = gains(effects, goals(effects, target=1))
    assert found[0, 1, 2] == effects.effects[0, 0, 2, 0]
    assert found[1, 1, 2] == effects.effects[1, 1, 2, 1]
