"""Adam for generator and encoder, and for the discriminator, with StyleGAN2's correction for lazy regularisation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from stylexport.training.config import LossConfig, OptimiserConfig
from stylexport.training.networks import Networks

# optimiser -> the networks that it moves
MOVED = {"generator": ("generator", "encoder"), "discriminator": ("discriminator",)}


def build_optimisers(own: OptimiserConfig, losses: LossConfig, networks: Networks) -> dict[str, torch.optim.Adam]:
    """One for each group of `MOVED` that has networks."""
    rates = {"generator": own.learning_rate, "discriminator": own.discriminator_rate}
    firsts = {"generator": own.beta1, "discriminator": own.discriminator_beta1}
    lazy = {"generator": ("path_length",), "discriminator": ("r1", "gradient_penalty")}
    found = {}
    for name, moved in MOVED.items():
        parameters = [p for network in moved if network in networks for p in networks[network].parameters()]
        if not parameters:
            continue
        share = _share(getattr(losses, f"{penalty}_every") for penalty in lazy[name] if getattr(losses, penalty))
        betas = (firsts[name] ** share, own.beta2**share)
        found[name] = torch.optim.Adam(parameters, rates[name] * share, betas, own.epsilon, fused=True)
        found[name].param_groups[0]["base_rate"] = rates[name] * share
    return found


def _share(every: Iterable[int]) -> float:
    """The share of all updates that are the phase's: k / (k + 1) where a penalty is a separate update every k steps.

    By it StyleGAN2 corrects Adam's settings (Karras et al. 2020, appendix B); with several penalties it is 1 / (1 + the sum of 1 / k).
    """
    return 1 / (1 + sum(1 / k for k in every))


def rate_share(own: OptimiserConfig, steps: int, number: int) -> float:
    """What share of the learning rate step `number` of `steps` has: a linear warm-up, then half a cosine down to `decay`.

    Example:
        >>> rate_share(OptimiserConfig(warm_up=4, decay=0.5), steps=100, number=0)
        0.25
        >>> rate_share(OptimiserConfig(decay=0.5), steps=100, number=100)
        0.5

    """
    warm = min(1.0, (number + 1) / own.warm_up) if own.warm_up else 1.0
    return warm * (own.decay + (1 - own.decay) * (1 + math.cos(math.pi * min(number / steps, 1.0))) / 2)


def set_rates(optimisers: Mapping[str, Any], share: float) -> None:
    """Sets every learning rate to this share of what the settings say."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = group["base_rate"] * share


def parameter_names(networks: Mapping[str, nn.Module], name: str) -> list[str]:
    """The parameters of an optimiser in its order, such as "generator.synthesis.b4.const"."""
    return [f"{network}.{p}" for network in MOVED[name] if network in networks for p, _ in networks[network].named_parameters()]
