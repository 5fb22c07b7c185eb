"""The training benchmark times every phase, and prints NVIDIA's figure where it is to be compared."""

from __future__ import annotations

import pytest
from accelerate import Accelerator

from benchmarks import train
from benchmarks.train import side


@pytest.mark.parametrize(("plain", "every"), [(False, 4), (True, 1)])
def test_a_turn_tells_every_phase_and_the_plain_form_never_leaves_a_penalty_out(plain: bool, every: int) -> None:
    own = side(plain, 32, 4, Accelerator(cpu=True))
    first, second = own.turn(1), own.turn(1)
    assert {"data", "generator", "path_length", "discriminator", "r1", "update", "ema"} <= set(first)
    assert ("path_length" in second) == ("r1" in second) == plain
    assert own.step.losses.path_length_every == every
    assert own.number == 2


def test_the_released_size_stands_beside_the_published_figure() -> None:
    phases = dict.fromkeys((*train.SHOWN, "rest"), 1.0)
    found = {
        "resolution": 256,
        "channels": [512, 64],
        "batch": 16,
        "device": "a GPU",
        "precision": "bf16",
        "milliseconds": {"own": phases, "plain": phases},
        "images_a_second": {"own": 50.0, "plain": 20.0},
        "ratio": 2.5,
    }
    said = train.speed_report(found)
    assert "20.0 s a kimg, with encoder and classifier. NVIDIA's StyleGAN2-ADA in PyTorch takes 21.6 to 24.2 s a kimg" in said
    assert "kimg" not in train.speed_report(found | {"resolution": 64})
