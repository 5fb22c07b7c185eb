"""A StyleGAN2 generator has no encoder and no labels in its latent: AttFind takes random images of it, w, or z."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stylexport.attfind import AttFind, RandomLatents
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.errors import BadInput
from stylexport.torch_models import Generator, StyleGAN2Discriminator, StyleGAN2Generator, StylEx
from stylexport.torch_models.config import GeneratorConfig
from stylexport.torch_models.stylegan2_config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig
from tests.conftest import run

SIZES = {"resolution": 8, "channels": (6, 4), "latent": 5, "z": 4, "mapping_layers": 2}
CLASSES = {"classes": 3, "label_embedding": "separate", "embedding": 4}


@pytest.fixture
def stylex() -> StylEx:
    """A random generator and discriminator."""
    torch.manual_seed(0)
    discriminator = StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(8, (6, 4), hidden=5))
    stylex = StylEx(StyleGAN2Generator(StyleGAN2GeneratorConfig(**SIZES)), discriminator=discriminator).eval()
    stylex.generator.w_avg.normal_()
    return stylex


def classifier() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))


def test_random_images_are_measured_selected_and_judged_by_the_discriminator(stylex: StylEx, tmp_path: Path) -> None:
    explainer = AttFind(stylex, classifier(), labels=("cat", "dog"))
    found = explainer.effects(RandomLatents(6, seed=2, truncation=0.5), out=tmp_path / "run")
    assert found.effects.shape == (6, 2, 16, 2)
    z = torch.from_numpy(np.random.default_rng(2).standard_normal((6, 4)).astype(np.float32))
    w = stylex.generator.truncate(stylex.generator.mapping(z), 0.5)
    torch.testing.assert_close(torch.from_numpy(found.latents), w)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {name: facts["images"][name] for name in ("random", "seed", "truncation")} == {"random": 6, "seed": 2, "truncation": 0.5}
    assert len(explainer.select(tmp_path / "run", top=2, discriminator=True).lists(None, str)) > 0


def test_a_run_goes_on_with_the_same_draw_and_not_with_another(stylex: StylEx, tmp_path: Path) -> None:
    explainer = AttFind(stylex, classifier())
    first = explainer.effects(RandomLatents(3), out=tmp_path / "run")
    np.testing.assert_array_equal(explainer.effects(RandomLatents(3), out=tmp_path / "run").effects, first.effects)
    with pytest.raises(BadInput, match="differs in images"):
        explainer.effects(RandomLatents(3, seed=1), out=tmp_path / "run")


@pytest.mark.parametrize("name", ["z", "w"])
def test_a_file_of_z_or_of_w_gives_the_same_images(stylex: StylEx, tmp_path: Path, name: str) -> None:
    z = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    with torch.no_grad():
        w = stylex.generator.mapping(torch.from_numpy(z)).numpy()
    given = {"z": z} if name == "z" else {"w": np.repeat(w[:, None], 4, 1)}  # as NVIDIA's projector writes it: one row for each layer
    np.savez(tmp_path / "latents.npz", **given)
    found = AttFind(stylex, classifier()).effects(tmp_path / "latents.npz", out=tmp_path / "run")
    np.testing.assert_allclose(found.latents, w, rtol=1e-6)


def test_another_w_for_each_layer_is_refused(stylex: StylEx, tmp_path: Path) -> None:
    np.savez(tmp_path / "latents.npz", w=np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32))
    with pytest.raises(BadInput, match=r"another w for each layer \(W\+\)"):
        AttFind(stylex, classifier()).effects(tmp_path / "latents.npz", out=tmp_path / "run")


def test_classes_are_drawn_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(StyleGAN2GeneratorConfig(**SIZES, **CLASSES)).eval()
    drawn = RandomLatents(5, seed=1).draw(StylExModel(StylEx(generator)))
    random = np.random.default_rng(1)
    z, one = random.standard_normal((5, 4)).astype(np.float32), np.eye(3, dtype=np.float32)[random.integers(0, 3, 5)]
    with torch.no_grad():
        np.testing.assert_allclose(drawn, generator.mapping(torch.from_numpy(z), torch.from_numpy(one)).numpy(), rtol=1e-6)


def test_random_images_of_a_stylex_are_refused(tmp_path: Path) -> None:
    stylex = StylEx(Generator(GeneratorConfig(8, (6, 4), latent=5, labels=2))).eval()
    with pytest.raises(BadInput, match="probabilities too"):
        AttFind(stylex, classifier()).effects(RandomLatents(3), out=tmp_path / "run")
    for wrong in ({"count": 0}, {"count": 3, "seed": -1}, {"count": 3, "truncation": 2.0}):
        with pytest.raises(BadInput):
            RandomLatents(**wrong)


def test_the_command_takes_random_images_and_asks_for_a_classifier(stylex: StylEx, tmp_path: Path) -> None:
    stylex.save_pretrained(tmp_path / "model")
    line = ["attfind", "effects", tmp_path / "model", "--random", "3", "-o", tmp_path / "run"]
    assert "--classifier" in run(*line).one_line_error()
    assert run(*line, "--images", tmp_path).code == 2
    assert run(*line[:3], "--latents", "x.npy", "--seed", "3", "-o", tmp_path / "run").code == 2
