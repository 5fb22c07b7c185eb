"""The average of weights: how quickly it forgets, and what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stylexport.training import ema


def test_half_of_it_is_left_after_its_half_life() -> None:
    share = ema.decay(images=16, half_life=800, seen=1e9)
    assert share ** (800 / 16) == pytest.approx(0.5)


def test_at_the_start_it_forgets_sooner() -> None:
    """At most a twentieth of the images seen so far: 320 seen make a half-life of 16."""
    assert ema.decay(16, half_life=800, seen=320) == pytest.approx(0.5)
    assert ema.decay(16, half_life=800, seen=16_000) == ema.decay(16, half_life=800, seen=1e9)


def test_learned_weights_are_forgotten_no_sooner() -> None:
    assert ema.decay(16, half_life=800, seen=16, ramp=None) == ema.decay(16, half_life=800, seen=1e9)


def test_nothing_seen_is_no_division_by_zero() -> None:
    assert ema.decay(16, half_life=800, seen=0) == 0


def test_an_update_is_by_hand_and_buffers_are_copied() -> None:
    network = nn.BatchNorm1d(2)
    average = ema.copy_of(network)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([3.0, -1.0]))
        network.running_mean.copy_(torch.tensor([5.0, 7.0]))
    ema.update({"a": average}, {"a": network, "b": nn.Linear(1, 1)}, 0.75)
    assert average.weight.tolist() == pytest.approx([0.75 * 1 + 0.25 * 3, 0.75 * 1 - 0.25])
    assert average.running_mean.tolist() == [5.0, 7.0]


def test_a_copy_neither_learns_nor_is_the_network() -> None:
    network = nn.Linear(2, 2)
    average = ema.copy_of(network)
    assert not average.training
    assert not any(p.requires_grad for p in average.parameters())
    assert all(p.requires_grad for p in network.parameters())
    with torch.no_grad():
        network.weight.add_(1)
    assert not torch.equal(network.weight, average.weight)
