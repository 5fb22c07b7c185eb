"""Adam as StyleGAN2 corrects it for lazy penalties, and the course of its learning rate."""

from __future__ import annotations

import math

import pytest
import torch

from stylexport.training.config import OptimiserConfig
from stylexport.training.networks import build
from stylexport.training.optimisers import build_optimisers, parameter_names, rate_share, set_rates
from tests.training.steps import settings, step_of

OWN = OptimiserConfig(learning_rate=2e-3, discriminator_rate=1e-3, beta1=0.5, discriminator_beta1=0.0)


def test_a_penalty_every_k_steps_corrects_rate_and_betas() -> None:
    config = settings(optimiser=OWN, losses={"path_length_every": 4, "r1_every": 16})
    found = step_of(config).optimisers
    generator, discriminator = found["generator"].param_groups[0], found["discriminator"].param_groups[0]
    assert generator["lr"] == pytest.approx(2e-3 * 4 / 5)
    assert generator["betas"] == pytest.approx((0.5 ** (4 / 5), 0.99 ** (4 / 5)))
    assert discriminator["lr"] == pytest.approx(1e-3 * 16 / 17)
    assert discriminator["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))


def test_without_penalties_nothing_is_corrected() -> None:
    found = step_of(settings(optimiser=OWN, losses={"path_length": 0.0, "r1": 0.0})).optimisers
    assert (found["generator"].param_groups[0]["lr"], found["discriminator"].param_groups[0]["lr"]) == (2e-3, 1e-3)
    assert found["generator"].param_groups[0]["betas"] == (0.5, 0.99)


def test_every_parameter_is_moved_by_one_optimiser() -> None:
    config = settings(regimen="alternating")
    networks, _ = build(config.model, 16, 2, ("generator", "encoder", "discriminator"))
    moved = [id(p) for own in build_optimisers(config.optimiser, config.losses, networks).values() for p in own.param_groups[0]["params"]]
    assert sorted(moved) == sorted(id(p) for network in networks.values() for p in network.parameters())


def test_the_names_are_in_the_optimisers_order() -> None:
    config = settings(regimen="alternating")
    networks, _ = build(config.model, 16, 2, ("generator", "encoder", "discriminator"))
    for name, own in build_optimisers(config.optimiser, config.losses, networks).items():
        for key, parameter in zip(parameter_names(networks, name), own.param_groups[0]["params"], strict=True):
            network, _, rest = key.partition(".")
            assert networks[network].get_parameter(rest) is parameter


def test_without_an_adversary_there_is_no_optimiser_for_one() -> None:
    assert set(step_of(settings(losses={"adversarial_weight": 0.0})).optimisers) == {"generator"}


def test_the_rate_warms_up_and_falls_by_half_a_cosine() -> None:
    own = OptimiserConfig(warm_up=4, decay=0.2)
    assert [rate_share(own, 100, n) for n in (0, 1)] == pytest.approx([0.25, 0.5], rel=1e-2)
    assert rate_share(own, 100, 25) == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2)
    assert rate_share(own, 100, 50) == pytest.approx(0.6)
    assert rate_share(own, 100, 100) == pytest.approx(0.2)


def test_by_default_the_rate_stays() -> None:
    assert {rate_share(OptimiserConfig(), 10, n) for n in range(10)} == {1.0}


def test_a_share_is_of_the_corrected_rate_and_does_not_add_up() -> None:
    parameter = torch.nn.Parameter(torch.zeros(()))
    adam = torch.optim.Adam([parameter], 0.004)
    adam.param_groups[0]["base_rate"] = 0.004
    for share in (0.5, 0.25):
        set_rates({"generator": adam}, share)
    assert adam.param_groups[0]["lr"] == 0.001
