"""Sufficiency in training is AttFind's count, on a few images, without a run left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.measure import measure as measure_effects
from stylexport.attfind.select.select import select
from stylexport.attfind.stylex_model import StylExModel
from stylexport.torch_models.classifiers.open import Classifier
from stylexport.torch_models.stylex import StylEx
from stylexport.training.metrics import explained, sufficiency
from stylexport.training.metrics.encode import encoded


def test_of_one_attribute_it_is_what_the_effects_alone_foretell(
    stylex: StylEx, classify: Classifier, images: Tensor, tmp_path: Path
) -> None:
    model, images = StylExModel(stylex), images[6:11]  # two eights and three nines, of which one is nearly an eight
    with torch.no_grad():
        latents = encoded(stylex, images, classify(images))
    run = create_run(tmp_path / "run", model, classify, latents.numpy())
    measure_effects(run, model, classify, 64)
    effects = Effects.load(run.folder)
    lists = select(effects, top=1).by_class
    flipped = []
    for image, own in enumerate(effects.classes.tolist()):
        first = lists[1 - own][0]
        logits = effects.base_logits[image] + effects.effects[image, first.direction, first.coordinate]
        flipped.append(int(logits.argmax()) != own)
    assert sum(flipped) == 1
    found = sufficiency(stylex, images, classify, top=1)
    assert found["sufficiency"] == pytest.approx(1 / 5)


def test_attributes_of_brightness_brighten_more_images_the_more_of_them_move(stylex: StylEx, images: Tensor) -> None:
    with torch.no_grad():
        bright = stylex(images[:4]).mean((1, 2, 3)).max() + 0.01  # a little brighter than all of them

    def brightness(shown: Tensor) -> Tensor:
        score = shown.mean((1, 2, 3)) - bright
        return torch.stack([-score, score], 1)

    two, seven = (sufficiency(stylex, images[:4], brightness, top=top) for top in (2, 7))
    assert two["sufficiency"] == 0.25
    assert seven["sufficiency"] == 0.75
    assert seven["sufficiency_random"] < seven["sufficiency_variance"] < seven["sufficiency"]


def test_a_classifier_that_always_says_the_same_has_no_attributes(stylex: StylEx, images: Tensor) -> None:
    found = sufficiency(stylex, images[:2], lambda shown: torch.tensor([[2.0, -1.0]]).expand(len(shown), 2), top=3)
    assert found == {"sufficiency": 0.0, "sufficiency_random": 0.0, "sufficiency_variance": 0.0}


def test_the_pictures_hold_each_images_reconstruction_over_what_attributes_make_of_it(
    stylex: StylEx, classify: Classifier, images: Tensor
) -> None:
    found = explained(stylex, images[:5], classify, top=3)
    pictures = found.pictures(images=2, attributes=2)
    effects = found.subject.effects
    assert set(pictures) == {found.subject.label(target) for target in found.lists}
    for target in found.lists:
        others = (effects.classes != target).nonzero()[0][:2]
        picture = pictures[found.subject.label(target)]
        assert picture.shape == (3, 3 * 32, len(others) * 32)
        with torch.no_grad():
            again = stylex.decode(torch.from_numpy(effects.latents[others[:1]]))[0]
        assert torch.allclose(picture[:, :32, :32], again, atol=1e-5)
        assert float((picture[:, 32:] - picture[:, :32].repeat(1, 2, 1)).abs().max()) > 0.05
