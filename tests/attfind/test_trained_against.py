"""A StylEx is explained with the classifier of its training; another is refused where nobody chose it, and told where someone did."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stylexport import AttFind
from stylexport.attfind.command_line import explaining_command
from stylexport.common.errors import BadInput
from stylexport.torch_models import Encoder, Generator, StylEx
from stylexport.torch_models.classifiers.open import open_classifier
from stylexport.torch_models.config import EncoderConfig, GeneratorConfig

BUILD = f"{__name__}:build"
LATENTS = np.random.default_rng(2).random((2, 7), np.float32)


def build() -> nn.Module:
    """Two logits of 8 px images; its random weights are others each time."""
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12, 2))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(build().state_dict(), tmp_path / "my weights.pt")
    return tmp_path / "my weights.pt"


def trained(weights: Path, **more: Any) -> StylEx:
    """A StylEx that stylex.json calls trained against `weights`."""
    record = open_classifier(BUILD, weights=weights).to_json()
    generator = Generator(GeneratorConfig(resolution=8, channels=(4, 3), latent=5, labels=2, z=5, mapping_layers=1))
    return StylEx(generator, labels=("old", "young"), metadata={"trained": {"classifier": record}}, **more)


def test_the_one_of_the_training_is_explained_without_a_word_and_with_the_styles_labels(tmp_path: Path, weights: Path) -> None:
    explainer = AttFind(trained(weights), BUILD, weights=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert explainer.effects(LATENTS, out=tmp_path / "run").labels == ("old", "young")


def test_forgotten_weights_are_asked_for(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(BadInput, match=r"has other weights .* give those of the training by --weights '.*my weights\.pt'"):
        AttFind(trained(weights), BUILD).effects(LATENTS, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_holds_others_by_now_is_told(tmp_path: Path, weights: Path) -> None:
    stylex = trained(weights)
    torch.save(build().state_dict(), weights)
    with pytest.raises(BadInput, match="put those of the training back"):
        AttFind(stylex, BUILD, weights=weights).effects(LATENTS, out=tmp_path / "run")


def test_no_classifier_at_all_is_answered_with_its_name(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(BadInput, match=r"does not hold; name it by --classifier .*:build --weights '.*my weights\.pt'"):
        AttFind(trained(weights)).effects(LATENTS, out=tmp_path / "run")


@pytest.mark.parametrize("how", ["weights", "module", "function"])
def test_another_on_purpose_is_explained_and_told(tmp_path: Path, weights: Path, how: str) -> None:
    torch.save(build().state_dict(), tmp_path / "other.pt")
    module = build()
    given: Any = {"weights": BUILD, "module": module, "function": lambda images: module(images)}[how]
    explainer = AttFind(trained(weights), given, **({"weights": tmp_path / "other.pt"} if how == "weights" else {}))
    with pytest.warns(UserWarning, match="was trained against .*my weights"):
        explainer.effects(LATENTS, out=tmp_path / "run")


def test_the_same_with_other_preprocessing_is_told(tmp_path: Path, weights: Path) -> None:
    explainer = AttFind(trained(weights), BUILD, weights=weights, preprocessing={"range": (0, 1)})
    with pytest.warns(UserWarning, match=r"takes images as \{'range': \(0\.0, 1\.0\)\}"):
        explainer.effects(LATENTS, out=tmp_path / "run")


@pytest.mark.parametrize("trained_record", [None, 3, {}, {"classifier": []}, {"classifier": {"sha256": 5}}])
def test_a_record_that_is_none_says_nothing(weights: Path, trained_record: Any) -> None:
    stylex = trained(weights)
    stylex.metadata = {"trained": trained_record}
    assert AttFind(stylex, BUILD).remark() is None


def test_the_command_that_is_suggested_names_the_classifier_as_a_shell_takes_it(weights: Path) -> None:
    stylex = trained(weights, encoder=Encoder(EncoderConfig(resolution=8, channels=(4, 3), hidden=4, latent=5)))
    classifier = open_classifier(BUILD, weights=weights, changes={"size": (4, 6), "range": (0.0, 255.0), "channels": "BGR", "mean": (0.1,)})
    words = shlex.split(explaining_command(Path("my run"), stylex, classifier))
    start = ["stylexport", "attfind", "effects", "my run", "--images", "DIR", "--classifier", BUILD, "--weights", str(weights)]
    assert words[: len(start)] == start
    assert words[len(start) :] == [
        *("--labels", "old,young", "--size", "4x6", "--range=0.0,255.0", "--mean=0.1", "--channels", "BGR", "-o", "EFFECTS")
    ]


def test_a_stylex_without_an_encoder_is_suggested_latents(weights: Path) -> None:
    words = shlex.split(explaining_command(Path("run"), trained(weights), open_classifier(BUILD, weights=weights)))
    assert words[3:6] == ["run", "--latents", "FILE"]
