"""Classifiers of a user's own, for PACKAGE:BUILD."""

from __future__ import annotations

import torch
from torch import nn


def lone_logit() -> nn.Module:
    """One logit for two labels: the mean brightness, scaled."""
    return nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 1))


def five_logits() -> nn.Module:
    """Too many for two labels."""
    return nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 5))


def decided() -> nn.Module:
    """The second of two labels, whatever it sees."""
    module = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        module[2].bias.copy_(torch.tensor([-50.0, 50.0]))
    return module


def no_number() -> nn.Module:
    """One whose bias is not a number."""
    module = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        module[2].bias.fill_(float("nan"))
    return module
