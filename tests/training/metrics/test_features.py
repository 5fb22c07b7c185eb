"""Features are what enters the classifier's last layer, and what Inception makes of 8-bit images."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

from stylexport.common.errors import BadInput
from stylexport.torch_models.config import ConvSpec, MobileNetV1Config
from stylexport.torch_models.mobilenet import MobileNetV1
from stylexport.training.metrics.features import inception, logits_and_features


def test_a_dense_classifier_s_features_enter_its_last_layer() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 3), nn.Softsign())
    images = torch.randn(4, 3, 2, 2)
    logits, features = logits_and_features(network, images)
    assert features is not None
    assert torch.equal(features, network[:3](images))
    assert torch.equal(logits, network(images))


def test_mobilenet_s_features_are_its_pooled_channels() -> None:
    torch.manual_seed(0)
    layers = (ConvSpec(4, stride=(2, 2)), ConvSpec(4, depthwise=True), ConvSpec(6, kernel=(1, 1)))
    network = MobileNetV1(MobileNetV1Config(layers=layers, labels=2, resolution=8)).eval()
    images = torch.randn(5, 3, 8, 8)
    logits, features = logits_and_features(network, images)
    assert features is not None
    assert features.shape == (5, 6)
    head = network.head
    assert torch.allclose(features @ head.weight[:, :, 0, 0].T + (0 if head.bias is None else head.bias), logits, atol=1e-6)


def test_features_at_several_places_are_their_mean() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Tanh(), nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(4, 3, 5, 6)
    _, features = logits_and_features(network, images)
    assert features is not None
    assert torch.allclose(features, images.tanh().mean((2, 3)), atol=1e-6)


def test_no_hook_is_left_behind() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    logits_and_features(network, torch.zeros(1, 3, 2, 2))
    assert not any(layer._forward_pre_hooks for layer in network.modules())


def test_a_function_has_no_features() -> None:
    logits, features = logits_and_features(lambda images: images.mean((2, 3)), torch.ones(2, 3, 4, 4))
    assert logits.shape == (2, 3)
    assert features is None


def stand_in(monkeypatch: pytest.MonkeyPatch, create: Any) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", SimpleNamespace(create_feature_extractor=create))


def test_inception_is_shown_rounded_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shown(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor]:
            assert images.dtype == torch.uint8
            return (images.flatten(1),)

    stand_in(monkeypatch, lambda *_, **__: Shown())
    images = torch.tensor([-1.2, -1.0, -0.5, 0.0, 0.999, 1.0]).view(1, 6, 1, 1)
    assert inception()(images).tolist() == [[0, 0, 64, 128, 255, 255]]


def test_without_inception_s_weights_what_to_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no route")

    stand_in(monkeypatch, fail)
    with pytest.raises(BadInput, match=r"cannot be loaded \(URLError.*no route.*\); it fetches its weights from github"):
        inception()


def test_without_torch_fidelity_what_to_install_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity.utils", None)
    with pytest.raises(BadInput, match=r"torch-fidelity is not installed.*pip install torch-fidelity"):
        inception()
