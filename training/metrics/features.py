"""Features that distributions of images are compared by: the classifier's own, and those of the Inception network of FID and KID."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.attfind.evaluate.distance import patience
from stylexport.common.errors import BadInput

Features = Callable[[Tensor], Tensor]
NEEDS = "pip install torch-fidelity"
REACH = "it fetches its weights from github.com/toshas/torch-fidelity once; run it where that is reached"


def logits_and_features(classify: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor | None]:
    """The classifier's logits [N, labels] and what enters its last layer with weights [N, F] (mean over places where it has them).

    None for the second where `classify` is not a module, or its last layer sees something else than a row an image.
    """
    if not isinstance(classify, nn.Module):
        return classify(images), None
    entered: list[Any] = [None]

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        entered[0] = arguments[0] if arguments else None

    layers = [layer for layer in classify.modules() if next(layer.parameters(recurse=False), None) is not None]
    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        logits: Tensor = classify(images)
    finally:
        for hook in hooks:
            hook.remove()
    found = entered[0]
    if not isinstance(found, Tensor) or found.ndim < 2 or len(found) != len(images):
        return logits, None
    return logits, found.flatten(2).mean(2) if found.ndim > 2 else found


def inception(device: str | torch.device = "cpu", image_range: tuple[float, float] = (-1.0, 1.0)) -> Features:
    """The 2,048 features of the Inception network of Heusel et al. 2017, by torch-fidelity: images [N, 3, R, R] to [N, 2048].

    Raises BadInput where the package or its weights are not to be had.
    """
    try:
        package = importlib.import_module("torch_fidelity.utils")
    except ImportError as error:
        raise BadInput(f"the package torch-fidelity is not installed ({error}); {NEEDS}") from error
    try:
        with patience(), torch.random.fork_rng(devices=[]):
            network = package.create_feature_extractor("inception-v3-compat", ["2048"], cuda=False, verbose=False).to(device)
    except Exception as error:  # whatever a download can meet
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(f"torch-fidelity's Inception network cannot be loaded ({reason}); {REACH}") from error
    low, high = image_range

    def features(images: Tensor) -> Tensor:
        found: Tensor = network(((images.float() - low) * (255 / (high - low))).round().clamp(0, 255).to(torch.uint8))[0]
        return found

    return features
