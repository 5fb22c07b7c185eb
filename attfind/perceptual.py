"""LPIPS (Zhang et al. 2018), where the package `lpips` and AlexNet's weights are there."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]


def lpips(device: torch.device, image_range: tuple[float, float]) -> tuple[Distance | None, str]:
    """LPIPS between two batches [B, 3, R, R] in `image_range`, as [B]; or None, and why."""
    try:
        package = importlib.import_module("lpips")
    except ImportError:
        return None, "LPIPS is left out: pip install lpips"
    try:
        network = package.LPIPS(net="alex", verbose=False).eval().requires_grad_(False).to(device)
    except Exception as error:
        return None, f"LPIPS is left out: its network could not be loaded ({type(error).__name__}: {error})"
    low, high = image_range

    def distance(left: Tensor, right: Tensor) -> Tensor:
        left, right = ((images.float() - low) * (2 / (high - low)) - 1 for images in (left, right))
        found: Tensor = network(left, right).flatten()
        return found

    return distance, ""
