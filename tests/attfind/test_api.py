"""AttFind from Python: the command's run, byte for byte, resumed like it; any model and any classifier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylexport import AttFind
from stylexport.attfind import Autoencoder, Effects, Explained, StylExModel, find_attributes
from stylexport.attfind.effects.create_run import Settings
from stylexport.common.errors import BadInput
from stylexport.torch_models import Generator, StylEx
from stylexport.torch_models.config import GeneratorConfig
from tests.conftest import run as stylexport

RNG = np.random.default_rng(5)
LATENTS = RNG.normal(size=(6, 3)).astype(np.float32)


class Head(nn.Module):
    """Two logits of an image [N, 3, 1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        nn.init.normal_(self.linear.weight, generator=torch.Generator().manual_seed(3))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1))


def model() -> Autoencoder:
    return Autoencoder(lambda x: x.flatten(1), lambda z: z.view(-1, 3, 1, 1), 3, image_range=(-9.0, 9.0))


def test_python_and_the_command_measure_the_same_bytes(demo: Path, converted: Path, tmp_path: Path) -> None:
    latents = demo / "dlatents.pkl"
    made = stylexport("attfind", "effects", converted, "--latents", latents, "--limit", "2", "--batch", "64", "-o", tmp_path / "command")
    assert made.code == 0, made.err
    found = AttFind(converted).effects(latents, out=tmp_path / "python", limit=2, batch=64)
    files = [tmp_path / name / "effects.h5" for name in ("command", "python")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert found.done.tolist() == [True, True]


def test_an_interrupted_run_goes_on_and_another_settings_run_is_refused(tmp_path: Path) -> None:
    explainer = AttFind(model(), Head())

    def interrupt(what: str, done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explainer.effects(LATENTS, out=tmp_path / "run", batch=2, progress=interrupt)
    measured = explainer.measure(LATENTS, Settings(batch=2), out=tmp_path / "run")
    assert measured is not None
    assert 0 < measured.measured_now < measured.images == 6
    whole = explainer.effects(LATENTS, out=tmp_path / "whole", batch=2)
    np.testing.assert_array_equal(Effects.load(tmp_path / "run").effects, whole.effects)
    with pytest.raises(BadInput, match="holds a run that differs in images"):
        explainer.effects(LATENTS + 1, out=tmp_path / "run")


def test_a_screened_search_is_one_word(tmp_path: Path) -> None:
    wide = Autoencoder(lambda x: x.flatten(1), lambda z: z.view(-1, 3, 10, 10), 300, image_range=(-9.0, 9.0))
    weights = torch.randn(300, 2, generator=torch.Generator().manual_seed(2)) ** 3
    latents = RNG.normal(size=(20, 300)).astype(np.float32)
    found = AttFind(wide, lambda images: images.flatten(1) @ weights).effects(latents, out=tmp_path, search="screened", share=0.2)
    assert 0 < found.measured.mean() < 0.3
    assert found.about["screening"]["share"] == 0.2


def test_images_in_memory_are_encoded(tmp_path: Path) -> None:
    images = torch.from_numpy(LATENTS).view(-1, 3, 1, 1)
    found = AttFind(model(), Head()).effects(images=images, out=tmp_path / "run")
    np.testing.assert_allclose(found.latents, LATENTS)


def test_a_run_measured_with_an_object_is_rendered_with_that_object_only(tmp_path: Path) -> None:
    judge, run = Head(), tmp_path / "run"
    AttFind(model(), judge, labels=("cat", "dog")).effects(LATENTS, out=run)
    found = AttFind(model(), judge).select(run, "dog")
    assert (run / "attributes.json").is_file()
    assert list(found) == find_attributes(Effects.load(run), 1)
    assert AttFind(model(), judge).render(run, formats=["gif"], top=1) == [run / "show" / "attribute-01.gif"]
    with pytest.raises(BadInput, match=r"its classifier was given from Python \(python:Head\)"):
        AttFind(model()).render(run)
    nn.init.zeros_(judge.linear.weight)
    with pytest.raises(BadInput, match="was measured with another classifier"):
        AttFind(model(), judge).render(run)


def test_a_stylex_without_a_classifier_takes_the_one_that_is_given_and_is_left_as_it_was(tmp_path: Path) -> None:
    stylex = StylEx(Generator(GeneratorConfig(8, (6, 4), latent=5, labels=2)).eval().requires_grad_(False), labels=("a", "b"))
    judge = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).requires_grad_(False)
    latents = RNG.normal(size=(3, 7)).astype(np.float32)
    found = AttFind(stylex, judge).effects(latents, out=tmp_path / "run", limit=1)
    assert found.effects.shape == (1, 2, 16, 2)
    assert stylex.classifier is None
    expected = judge(StylExModel(stylex).decode(torch.from_numpy(latents[:1]))).numpy()
    np.testing.assert_allclose(found.base_logits, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "by latents or by images"),
        ({"latents": LATENTS, "images": LATENTS}, "by latents or by images"),
        ({"latents": LATENTS, "search": "quick"}, "searches are exhaustive, screened"),
        ({"latents": LATENTS, "precision": "fp8"}, "precisions are fp32, fp16, bf16"),
        ({"latents": LATENTS[0]}, r"latents are floating-point numbers \[N, D\]"),
        ({"images": LATENTS}, r"finite numbers \[N, 3, H, W\] are needed"),
    ],
)
def test_wrong_input_is_one_clear_error(tmp_path: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        AttFind(model(), Head()).effects(out=tmp_path / "run", **options)  # type: ignore[arg-type]


def test_what_has_no_classifier_or_no_model_is_said() -> None:
    with pytest.raises(BadInput, match="a classifier is given and no model"):
        AttFind(None, Head())
    with pytest.raises(BadInput, match="this model has no classifier"):
        AttFind(model()).effects(LATENTS, out="never")
    assert isinstance(model(), Explained)


def test_a_run_does_not_go_on_with_other_code_of_the_same_name(tmp_path: Path) -> None:
    model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
    latents = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.5]], np.float32)

    def classify(scale: float) -> Callable[[Tensor], Tensor]:
        return lambda images: scale * images.flatten(1)[:, :2]

    AttFind(model, classify(1.0)).effects(latents, out=tmp_path / "run", batch=2)
    with pytest.raises(BadInput, match="this is not the run's model or classifier"):
        AttFind(model, classify(3.0)).effects(latents, out=tmp_path / "run", batch=2)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"batch": 0}])
def test_numbers_of_images_that_make_no_sense_are_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    model = Autoencoder(lambda images: images.flatten(1), lambda latents: latents.view(-1, 3, 1, 1), size=3)
    with pytest.raises(BadInput, match="1 or more"):
        AttFind(model, lambda images: images.flatten(1)[:, :2]).effects(np.eye(3, dtype=np.float32), out=tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()
