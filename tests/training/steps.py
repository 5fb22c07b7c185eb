"""A step that is small enough to be taken in a test, on real digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from benchmarks.common.subjects import digits
from stylexport.torch_models.stylex import StylEx
from stylexport.training.config import LossConfig, ModelConfig, OptimiserConfig, RunConfig, TrainConfig
from stylexport.training.data.open import DataConfig
from stylexport.training.networks import build, equalise_label_columns
from stylexport.training.optimisers import build_optimisers
from stylexport.training.step import Step

SMALL = ModelConfig(channels=(12, 8, 8), latent=8, z=8, hidden=16, mapping_layers=2)
CONFIG = TrainConfig(
    DataConfig(resolution=16),
    regimen="encoder",
    model=SMALL,
    losses=LossConfig(path_length_every=1, r1_every=1),
    run=RunConfig(batch=8, noise="const"),
)


def settings(config: TrainConfig = CONFIG, **groups: Any) -> TrainConfig:
    """The settings with changes: `losses={"r1": 0}` for those of a group, `regimen="random"` for one of no group."""
    return replace(config, **{name: replace(getattr(config, name), **v) if isinstance(v, dict) else v for name, v in groups.items()})


def images(count: int = 8, resolution: int = 16) -> Tensor:
    """Digits [N, 3, R, R], eights and nines."""
    return digits(resolution, 2)[0][:count]


def linear_classifier(resolution: int, temperature: float = 1.0) -> nn.Module:
    """Two logits that are linear in the pixels, of about one in size at temperature 1, and zero for the mean digit."""
    linear = nn.Linear(3 * resolution**2, 2)
    weights = torch.randn(linear.weight.shape, generator=torch.Generator().manual_seed(7))
    linear.weight.data = 3 * weights / (resolution * temperature)
    linear.bias.data = -linear.weight.data @ images(64, resolution).mean(0).flatten()
    return nn.Sequential(nn.Flatten(), linear).requires_grad_(False)


def step_of(
    config: TrainConfig = CONFIG, release: StylEx | None = None, classifier: nn.Module | None = None, kind: type[Step] = Step
) -> Step:
    """A step with networks of seed 3; the same settings give the same weights."""
    accelerator = Accelerator(cpu=True, mixed_precision={"fp32": "no"}.get(config.run.precision, config.run.precision))
    torch.manual_seed(3)
    names = ("generator", *(("encoder",) * (config.regimen != "random")), *(("discriminator",) * (config.losses.adversarial_weight > 0)))
    networks, _ = build(config.model, config.data.resolution, 2, names, release)
    if not config.classifier.in_loop:
        equalise_label_columns(networks)
    optimisers = build_optimisers(config.optimiser, config.losses, networks)
    return kind(
        config.losses,
        config.run,
        config.regimen,
        config.classifier.in_loop,
        accelerator,
        networks,
        classifier or linear_classifier(config.data.resolution),
        optimisers={name: accelerator.prepare(own) for name, own in optimisers.items()},
        path_mean=torch.zeros(()),
    )


def weights(step: Step, *names: str) -> dict[str, Tensor]:
    """Copies of the parameters of these networks, or of all."""
    chosen = names or tuple(step.networks)
    return {f"{name}.{key}": p.detach().clone() for name in chosen for key, p in step.networks[name].named_parameters()}


OVERFITTING = settings(
    model={"channels": (32, 32, 32), "latent": 32, "z": 32, "hidden": 64},
    losses={"adversarial_weight": 0.0, "path_length": 0.0, "w_l1": 0.0, "agreement": 0.0},
    optimiser=OptimiserConfig(learning_rate=0.08, beta1=0.9, decay=0.05),
    run={"batch": 16, "steps": 600},
)
