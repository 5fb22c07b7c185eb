"""Effects are the changes of raw logits, whatever the batch, and no image is measured twice."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stylexport.attfind.counterfactual import Move, targets
from stylexport.attfind.effects.batch import best_batch, largest_tensor
from stylexport.attfind.effects.create_run import create_run, label_names
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import open_model
from stylexport.attfind.effects.measure import effects_of, measure
from stylexport.attfind.model import Autoencoder
from stylexport.common.errors import BadInput
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from tests.conftest import ROOT

pytestmark = pytest.mark.processor

RNG = np.random.default_rng(11)
DECODE = torch.tensor(RNG.normal(size=(12, 5)), dtype=torch.float32)  # a latent of 5 entries to an image [3, 2, 2]
JUDGE = torch.tensor(RNG.normal(size=(3, 12)), dtype=torch.float32)  # an image to 3 logits
LATENTS = RNG.normal(size=(6, 5)).astype(np.float32)


class Counted:
    """A linear classifier that counts the images it is shown."""

    images = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return images.flatten(1) @ JUDGE.T


def linear() -> Autoencoder:
    """A decoder whose effects can be written down: W times the displacement. No value is clipped."""
    return Autoencoder(lambda x: x.flatten(1) @ DECODE, lambda z: (z @ DECODE.T).view(-1, 3, 2, 2), 5, image_range=(-100.0, 100.0))


def test_a_coordinate_goes_the_share_of_the_way_to_its_extremes_that_the_shift_says() -> None:
    styles, low, high = np.array([1.0, 4.0]), np.array([-1.0, 2.0]), np.array([2.0, 9.0])
    np.testing.assert_allclose(targets(styles, 1.0, low, high), [[-1, 2], [2, 9]])
    np.testing.assert_allclose(targets(styles, 0.5, low, high), [[0, 3], [1.5, 6.5]])


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_effects_of_a_linear_model_are_its_weights_times_the_way_of_each_coordinate(tmp_path: Path, batch: int) -> None:
    model = linear()
    run = create_run(tmp_path / "run", model, Counted(), LATENTS, shift=0.75, chosen=(4, 1))
    measure(run, model, Counted(), batch)
    run.finish()
    found = Effects.load(tmp_path / "run")
    weights = (JUDGE @ DECODE).numpy()  # [3 labels, 5 coordinates]
    extremes = np.stack([LATENTS.min(0), LATENTS.max(0)])  # over all six, though two are measured
    way = 0.75 * (extremes[None] - LATENTS[[4, 1], None])  # [2 images, 2 directions, 5]
    np.testing.assert_allclose(found.effects, way[..., None] * weights.T, atol=2e-5)
    np.testing.assert_allclose(found.base_logits, LATENTS[[4, 1]] @ weights.T, atol=2e-5)
    assert found.labels == ("0", "1", "2")


def test_only_what_is_asked_for_is_measured() -> None:
    model, classify = linear(), Counted()
    latent = torch.from_numpy(LATENTS[0])
    base = classify(model.decode(latent[None]))[0]
    before = classify.images
    found = effects_of(model, classify, latent, base, torch.ones(2, 5), 64, moves=[Move(0, 3), Move(0, 1), Move(1, 3), Move(1, 1)])
    assert classify.images - before == 4
    assert np.abs(found).sum((0, 2)).nonzero()[0].tolist() == [1, 3]


def test_a_run_goes_on_with_the_images_it_lacks(tmp_path: Path) -> None:
    model, classify = linear(), Counted()
    run = create_run(tmp_path / "run", model, classify, LATENTS)
    measure(run, model, classify, 8, images=[5, 2])
    assert run.missing() == [0, 1, 3, 4]
    before = classify.images
    measure(run, model, classify, 8)
    assert classify.images - before == 4 * 2 * 5


def test_progress_counts_changes_up_to_all_of_them(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    model = linear()
    run = create_run(tmp_path / "run", model, Counted(), LATENTS, chosen=[0, 3, 4])
    measure(run, model, Counted(), 7, progress=lambda name, done, total: told.append((name, done, total)))
    assert told[0] == ("changes", 0, 30)
    assert told[-1] == ("changes", 30, 30)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_a_classifier_that_gives_probabilities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="gives probabilities; effects are differences of raw logits"):
        create_run(tmp_path / "run", linear(), lambda images: Counted()(images).softmax(1), LATENTS)
    assert not (tmp_path / "run").exists()


def test_label_names_are_as_many_as_logits() -> None:
    assert label_names(("cat", "dog"), 2) == ["cat", "dog"]
    with pytest.raises(BadInput, match=r"2 label names \(cat, dog\) for a classifier of 3 logits"):
        label_names(("cat", "dog"), 3)


def test_a_styles_batch_is_found_that_fits_the_layer_and_the_limit(demo: Path, converted: Path) -> None:
    model = open_model(converted)
    assert model.stylex.classifier is not None
    latent = torch.tensor(read_dlatents(demo / "dlatents.pkl").values[5])
    assert best_batch(model, model.stylex.classifier, latent) in (16, 32, 64)  # no layer has more than 2 x 40 changes
    assert best_batch(model, model.stylex.classifier, latent, most=5) == 5


def test_memory_that_runs_out_leaves_room_below_what_fitted() -> None:
    def classify(images: Tensor) -> Tensor:
        if len(images) > 40:
            raise torch.OutOfMemoryError
        return Counted()(images)

    wide = Autoencoder(linear().encode, lambda z: linear().decode(z[:, :5]), 500)
    assert best_batch(wide, classify, torch.zeros(500)) == 16  # 32 fitted, 64 did not


def test_the_largest_tensor_of_a_computation_is_known_without_a_gpu() -> None:
    assert largest_tensor(lambda: (torch.ones(10, 3) @ torch.ones(3, 7)).sum()) == 10 * 7 * 4


def test_the_worked_example_of_the_documentation_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "attfind.md").read_text()
    (program,) = re.findall(r"```python\n(# An autoencoder.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program, "docs/attfind.md", "exec"), names)
    best = names["best"]
    assert names["effects"].effects.shape == (200, 2, 4, 2)
    assert (best.coordinate, best.target) == (2, 1)


@pytest.mark.parametrize("shift", [float("nan"), float("inf")])
def test_a_shift_that_is_no_number_begins_no_run(tmp_path: Path, shift: float) -> None:
    model = Autoencoder(lambda x: x.flatten(1), lambda z: z.reshape(-1, 3, 1, 1), 3)
    with pytest.raises(BadInput, match=f"shift {shift}"):
        create_run(tmp_path / "run", model, lambda images: images.flatten(1)[:, :2], np.zeros((2, 3), np.float32), shift=shift)
    assert not (tmp_path / "run").exists()
