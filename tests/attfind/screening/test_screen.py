"""The screened search records only what it measured, says what that was, and costs what it was allowed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.measure import measure
from stylexport.attfind.model import Autoencoder
from stylexport.attfind.screening.screen import screen
from stylexport.attfind.select.select import find_attributes
from stylexport.attfind.select.strategies import gains_towards, ranked
from stylexport.common.errors import BadInput
from tests.conftest import run as stylexport

pytestmark = pytest.mark.processor

RNG = np.random.default_rng(23)
LATENT, IMAGES = 600, 40
DECODE = torch.tensor(RNG.normal(size=(48, LATENT)) * RNG.exponential(0.2, LATENT), dtype=torch.float32)
JUDGE = torch.tensor(RNG.normal(size=(3, 48)), dtype=torch.float32) / 10
LATENTS = RNG.normal(size=(IMAGES, LATENT)).astype(np.float32)


class Counted:
    """A classifier of three classes, bent enough that gradients are not the effects; it counts the images it is shown."""

    images = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return torch.sin(images.flatten(1) / 3) @ JUDGE.T * 6


def model() -> Autoencoder:
    return Autoencoder(lambda x: x.flatten(1) @ DECODE, lambda z: (z @ DECODE.T).view(-1, 3, 4, 4), LATENT, image_range=(-9.0, 9.0))


@pytest.fixture(scope="module")
def exhaustive(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    run = create_run(tmp_path_factory.mktemp("exhaustive") / "run", model(), Counted(), LATENTS)
    measure(run, model(), Counted(), 64)
    return Effects.load(run.folder)


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Effects:
    run = create_run(tmp_path_factory.mktemp("screened") / "run", model(), Counted(), LATENTS, about={"search": "screened"})
    screen(run, model(), Counted(), 64)
    assert run.missing() == []
    return Effects.load(run.finish().parent)


def test_what_is_recorded_was_measured_and_all_else_is_zero(exhaustive: Effects, screened: Effects) -> None:
    there = screened.measured
    assert 0 < there.mean() < 0.15
    # The same changes in batches of other members: an effect is the difference of two logits, each of some dozens of roundings.
    rounding = 64 * np.finfo(np.float32).eps * np.abs(exhaustive.base_logits).max()
    assert np.abs(screened.effects[there] - exhaustive.effects[there]).max() < rounding < np.abs(exhaustive.effects[there]).mean() / 1000
    assert not screened.effects[~there].any()
    assert exhaustive.measured.all()


def test_the_strongest_of_every_class_are_those_of_the_exhaustive_search(exhaustive: Effects, screened: Effects) -> None:
    for label in range(3):
        best = [ranked(gains_towards(found.effects[found.classes != label], label).mean(0))[:10] for found in (exhaustive, screened)]
        assert best[0] == best[1]


def test_the_selection_is_that_of_the_exhaustive_search(exhaustive: Effects, screened: Effects) -> None:
    chosen = [[(a.target, a.direction, a.coordinate) for a in find_attributes(found, top=10)] for found in (exhaustive, screened)]
    assert len(chosen[0]) > 6
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_it_costs_its_share_of_the_passes(tmp_path: Path, share: float) -> None:
    classify = Counted()
    run = create_run(tmp_path / "run", model(), classify, LATENTS)
    before = classify.images
    screen(run, model(), classify, 64, share=share)
    screening = run.about["screening"]
    assert screening["exhaustive"] == IMAGES * (2 * LATENT + 1)
    assert 0.7 * share < screening["passes"] / screening["exhaustive"] < share
    # every image that was classified counts; backward passes and unchanged images come on top
    assert classify.images - before < screening["passes"]


def test_each_class_has_its_list_and_what_is_expected_of_it(screened: Effects) -> None:
    screening = screened.about["screening"]
    assert set(screening["entries"]) == set(screening["recall"]) == {"0", "1", "2"}
    assert all(0.8 < recall <= 1 for recall in screening["recall"].values())
    assert all(0 <= entry < 2 * LATENT for entries in screening["entries"].values() for entry in entries)


def test_a_share_that_pays_for_nothing_is_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", model(), Counted(), LATENTS)
    with pytest.raises(BadInput, match="larger share"):
        screen(run, model(), Counted(), 64, share=0.004)


def test_interrupted_it_goes_on_with_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screened: Effects) -> None:
    monkeypatch.setattr("stylexport.attfind.screening.screen.SECONDS", 0.0)  # everything is kept at once

    class Interrupted(Counted):
        def __call__(self, images: Tensor) -> Tensor:
            if self.images > 2000:
                raise KeyboardInterrupt
            return super().__call__(images)

    run = create_run(tmp_path / "run", model(), Counted(), LATENTS)
    with pytest.raises(KeyboardInterrupt):
        screen(run, model(), Interrupted(), 64)
    assert len(run.missing()) == IMAGES
    classify = Counted()
    screen(run, model(), classify, 64)
    again = Effects.load(run.folder)
    np.testing.assert_array_equal(again.effects, screened.effects)
    assert again.about["screening"] == screened.about["screening"]
    assert classify.images < screened.about["screening"]["passes"] - 1900


def test_the_command_screens_and_says_so(demo: Path, converted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    source = ["--latents", str(demo / "dlatents.pkl"), "--limit", "12", "--batch", "64", "--search", "screened", "--share", "0.2"]
    result = stylexport("attfind", "effects", str(converted), *source, "-o", str(out), "--json")
    assert result.code == 0, result.err
    screening = json.loads(result.out)["screening"]
    assert screening["passes"] < 0.22 * screening["exhaustive"]
    assert Effects.load(out).about["share"] == 0.2
    selected = stylexport("attfind", "select", str(out), "--json")
    assert json.loads(selected.out)["search"] == "screened"
