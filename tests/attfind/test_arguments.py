"""What AttFind is given from Python is checked before anything long begins; each mistake is one clear error, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylexport import AttFind
from stylexport.attfind import Autoencoder
from stylexport.common.errors import BadInput

LATENTS = np.random.default_rng(5).random((3, 3), np.float32)
IMAGES = LATENTS.reshape(3, 3, 1, 1)


def model() -> Autoencoder:
    return Autoencoder(lambda x: x.flatten(1), lambda z: z.view(-1, 3, 1, 1), 3)


def classify(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :2]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AttFind(42), "not int 42"),  # type: ignore[arg-type]
        (lambda: AttFind(nn.Linear(2, 2)), "a model is a StylEx"),  # type: ignore[arg-type]
        (lambda: AttFind(model(), 42), "a classifier is a module, a function of images, or a name, not int 42"),  # type: ignore[arg-type]
        (lambda: AttFind(model(), classify, labels=("a", "a")), "'a' names two logits"),
        (lambda: AttFind(model(), classify, labels="ab"), "give a list of names"),
        (lambda: AttFind(model(), classify, labels=(1, 2)), "give a list of names"),  # type: ignore[arg-type]
        (lambda: AttFind(model(), weights="w.pt"), "weights w.pt: are for a classifier that is named"),
        (
            lambda: AttFind(model(), nn.Flatten(), preprocessing={"sise": 3}),
            "'sise': there are size, range, channels, mean, std",
        ),
        (lambda: AttFind(model(), nn.Flatten(), preprocessing={"size": 3}), "preprocessing size=3: give numbers"),
        (lambda: AttFind(model(), nn.Flatten(), preprocessing={"size": (3.5, 2)}), "give numbers"),
        (lambda: AttFind(model(), nn.Flatten(), preprocessing={"mean": "abc"}), "give numbers"),
        (lambda: AttFind(model(), nn.Flatten(), preprocessing={"std": (0, 1, 1)}), "not positive"),
        (lambda: AttFind(model(), nn.Flatten(), preprocessing={"range": (1, float("nan"))}), "give numbers"),
        (lambda: AttFind(model(), nn.Flatten(), preprocessing={"channels": "rgb"}), "channels are RGB"),
    ],
)
def test_what_it_is_made_of(make: Callable[[], AttFind], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"images": IMAGES * 255}, r"the images run from .* and this model's from -1 to 1; scale them"),
        ({"images": (IMAGES * 255).astype(np.uint8)}, "the images run from"),
        ({"images": IMAGES[:, :1]}, r"\[3, 1, 1, 1\]; finite numbers \[N, 3, H, W\] are needed"),
        ({"images": IMAGES.astype(str)}, r"finite numbers \[N, 3, H, W\] are needed"),
        ({"images": IMAGES * np.float32(np.nan)}, "not finite"),
        ({"latents": LATENTS, "limit": 0}, "limit 0: give a whole number, 1 or more"),
        ({"latents": LATENTS, "limit": 1.5}, "limit 1.5: give a whole number"),
        ({"latents": LATENTS, "batch": True}, "batch True: give a whole number"),
        ({"latents": LATENTS, "shift": float("inf")}, "shift inf: must be a finite number"),
        ({"latents": LATENTS, "shift": "1"}, "shift '1': must be a finite number"),
        ({"latents": LATENTS, "share": None}, "share None: must be a finite number"),
    ],
)
def test_what_is_measured(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        AttFind(model(), classify).effects(**options, out=tmp_path / "a" / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("select", {"top": 0}, "top 0: give a whole number, 1 or more"),
        ("select", {"top": 2.0}, r"top 2\.0: give a whole number"),
        ("render", {"frames": 1}, "frames 1: give a whole number, 2 or more"),
        ("render", {"images": 0}, "images 0"),
        ("render", {"formats": ("pdf",)}, "format pdf: there are html, png, gif"),
        ("render", {"batch": 0}, "batch 0"),
        ("evaluate", {"random": 0}, "random 0: give a whole number, 1 or more"),  # no mean of none
        ("evaluate", {"seed": -1}, "seed -1: give a whole number, 0 or more"),
        ("evaluate", {"top": 0}, "top 0"),
        ("evaluate", {"target": "blue"}, "blue"),
    ],
)
def test_what_is_asked_of_a_run(tmp_path: Path, method: str, options: dict[str, Any], says: str) -> None:
    explainer, run = AttFind(model(), classify, labels=("red", "green")), tmp_path / "run"
    explainer.effects(LATENTS, out=run)
    explainer.select(run)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match=says):
        getattr(explainer, method)(run, **options)
    assert sorted(tmp_path.rglob("*")) == before


def test_right_ones_of_other_types_are_taken(tmp_path: Path) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    explainer = AttFind(
        model(), flat, labels=["a", "b"], preprocessing={"mean": 0.5, "std": [2, 2, 2], "size": np.array([1, 1]), "range": None}
    )
    found = explainer.effects(images=torch.from_numpy(IMAGES), out=tmp_path / "run", limit=np.int64(2), shift=np.float32(0.5))
    assert found.labels == ("a", "b")
    assert len(found.done) == 2
    other = AttFind(model(), flat).effects(images=np.array([[[[0]], [[1]], [[0]]], [[[1]], [[0]], [[-1]]]]), out=tmp_path / "whole numbers")
    assert other.labels == ("0", "1")
