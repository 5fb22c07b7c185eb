"""The training benchmark counts every phase once, and says NVIDIA's figure where it is to be compared."""

from __future__ import annotations

import time

import pytest
import torch
from accelerate import Accelerator

from benchmarks import train
from benchmarks.train import Stopwatch, side


def test_what_a_phase_holds_inside_counts_once() -> None:
    watch = Stopwatch(torch.device("cpu"))
    with watch.phase("outer"):
        time.sleep(0.02)
        with watch.phase("inner"):
            time.sleep(0.05)
        time.sleep(0.02)
    assert set(watch.seconds) == {"outer", "inner"}
    assert 0.04 <= watch.seconds["outer"] < 0.05 <= watch.seconds["inner"]


@pytest.mark.parametrize(("plain", "every"), [(False, 4), (True, 1)])
def test_a_turn_tells_every_phase_and_the_plain_form_never_leaves_a_penalty_out(plain: bool, every: int) -> None:
    own = side(plain, 32, 4, Accelerator(cpu=True))
    first, second = own.turn(1), own.turn(1)
    assert {"data", "generator", "path_length", "discriminator", "r1", "update", "ema"} <= set(first)
    assert ("path_length" in second) == ("r1" in second) == plain
    assert own.step.config.losses.path_length_every == every
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
    said = train._speed(found)
    assert "20.0 s a kimg, with encoder and classifier. NVIDIA's StyleGAN2-ADA in PyTorch takes 21.6 to 24.2 s a kimg" in said
    assert "kimg" not in train._speed(found | {"resolution": 64})
