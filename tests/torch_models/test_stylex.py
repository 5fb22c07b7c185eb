"""StylEx as one: its folder, and its methods."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stylexport.common.errors import BadInput
from stylexport.torch_models import Discriminator, Encoder, Generator, MobileNetV1, StylEx
from tests.torch_models.plain import DISCRIMINATOR, ENCODER, GENERATOR, MOBILENET, fill

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(9))


@pytest.fixture
def stylex() -> StylEx:
    parts: dict[str, Any] = {
        "generator": fill(Generator(GENERATOR), 1),
        "encoder": fill(Encoder(ENCODER), 2),
        "discriminator": fill(Discriminator(dataclasses.replace(DISCRIMINATOR, labels=2)), 3),
        "classifier": fill(MobileNetV1(dataclasses.replace(MOBILENET, labels=2)), 4),
    }
    return StylEx(**parts, labels=["old", "young"], metadata={"version": "0.1.0", "sources": {"a.zip": "00ff"}}).eval()


def test_a_dlatent_is_w_and_the_softmax_of_the_classifiers_logits(stylex: StylEx):
    dlatent = stylex.encode(IMAGES)
    assert stylex.encoder is not None
    assert torch.equal(dlatent[:, :8], stylex.encoder(IMAGES))
    exponentials = stylex.classify(IMAGES).exp()
    torch.testing.assert_close(dlatent[:, 8:], exponentials / exponentials.sum(1, keepdim=True))


def test_decoding_clips_to_the_image_range(stylex: StylEx):
    dlatent = stylex.encode(IMAGES)
    assert stylex.generator is not None
    raw, image = stylex.generator(dlatent), stylex.decode(dlatent)
    assert raw.abs().max() > 1
    assert torch.equal(image, raw.clamp(-1, 1))
    assert torch.equal(stylex(IMAGES), image)


def test_a_round_trip_keeps_networks_labels_and_metadata(stylex: StylEx, tmp_path: Path):
    stylex.save_pretrained(tmp_path)
    loaded = StylEx.from_pretrained(tmp_path)
    assert loaded.labels == ("old", "young")
    assert loaded.image_range == (-1.0, 1.0)
    assert loaded.metadata == {"version": "0.1.0", "sources": {"a.zip": "00ff"}}
    assert not loaded.training
    assert torch.equal(loaded(IMAGES), stylex(IMAGES))
    assert {p.name for p in tmp_path.iterdir()} == {"stylex.json", "generator", "encoder", "discriminator", "classifier"}
    assert list(json.loads((tmp_path / "stylex.json").read_text())["networks"]) == [
        "generator",
        "encoder",
        "discriminator",
        "classifier",
    ]


def test_networks_may_be_absent_and_the_method_that_needs_one_names_it(stylex: StylEx, tmp_path: Path):
    StylEx(encoder=stylex.encoder, labels=["old", "young"]).save_pretrained(tmp_path)
    loaded = StylEx.from_pretrained(tmp_path)
    assert loaded.generator is None
    with pytest.raises(ValueError, match="has no classifier"):
        loaded.encode(IMAGES)
    with pytest.raises(ValueError, match="has no generator"):
        loaded.decode(torch.zeros(1, 10))


def test_a_classifier_of_ones_own_may_take_the_place_of_mobilenet(stylex: StylEx, tmp_path: Path):
    own = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    combined = StylEx(stylex.generator, stylex.encoder, classifier=own)
    torch.testing.assert_close(combined.encode(IMAGES)[:, 8:], own(IMAGES).softmax(1))
    with pytest.raises(TypeError, match="the classifier is a Sequential, which has no configuration to save"):
        combined.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "`networks` must name folders"),
        ({"networks": ["generator"]}, "`networks` must name folders"),
        ({"networks": {"painter": "painter"}}, "`networks` must name folders"),
        ({"networks": {"encoder": "missing"}}, "names the folder missing"),
        ({"networks": {"encoder": "../elsewhere"}}, "is not a folder inside"),
        ({"networks": {}, "labels": [0, 1]}, "`labels` must be a list of names"),
        ({"networks": {}, "image_range": [0]}, "`image_range` must be two numbers"),
    ],
)
def test_a_broken_manifest_is_one_error_that_names_the_file(tmp_path: Path, values: dict[str, Any], message: str):
    (tmp_path / "stylex.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=rf"stylex\.json: .*{message}"):
        StylEx.from_pretrained(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match=r"stylex\.json: No such file"):
        StylEx.from_pretrained(tmp_path)
