"""A training step's speed by phase and its memory by batch size, against the same step in plain form (benchmarks.common.plain_step).

    python -m benchmarks.train                     32 and 64 px, and on a GPU 256 px at the released size beside NVIDIA's StyleGAN2
    python -m benchmarks.train --memory 4 8 16     the memory at these batch sizes (none: not measured)

The networks have random weights: at 32 px about three times the embedded release's width, at 64 px a sixteenth of the released one's; a
MobileNetV1 is in the loop, images are noise, the regimen is alternating. The narrower the convolutions, the less a copy of their weights
costs, down to what the penalties alone save: `--resolution 64 --channels 48 48 32 16 16`. Both sides take turns of 16 steps, so that every
penalty comes as often as it should; a ratio is the median of the turns'. Exit code 1 where a ratio is below its target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader

from benchmarks.common.plain_step import PlainStep, at_every_step
from benchmarks.common.timing import Stopwatch
from stylexport.torch_models import MobileNetV1
from stylexport.torch_models.classifiers.open import Classifier
from stylexport.torch_models.classifiers.preprocessing import Preprocessing
from stylexport.torch_models.config import MobileNetV1Config, mobilenet_layers
from stylexport.training import ema
from stylexport.training.config import ModelConfig, RunConfig, TrainConfig
from stylexport.training.data.images import Images
from stylexport.training.data.open import DataConfig
from stylexport.training.data.sampler import EndlessSampler
from stylexport.training.networks import build
from stylexport.training.optimisers import build_optimisers
from stylexport.training.step import Step

TARGET = 2.0
TURN = 16  # steps in which every lazy penalty comes a whole number of times
RELEASED = 256
MODELS = {
    32: ModelConfig(channels=(48, 48, 32, 16), latent=32, z=32, hidden=64, mapping_layers=4),
    64: ModelConfig(base=2048, most=128, latent=64, z=64, hidden=128, mapping_layers=4),
    RELEASED: ModelConfig(),
}
WIDTHS = {32: 0.25, 64: 0.25, RELEASED: 1.0}  # MobileNetV1's
SHOWN = ("data", "generator", "path_length", "discriminator", "r1", "update", "ema")
NVIDIA = (
    "NVIDIA's StyleGAN2-ADA in PyTorch takes 21.6 to 24.2 s a kimg at 256 px on one V100 "
    "(the README of github.com/NVlabs/stylegan2-ada-pytorch; --cfg=auto: batch 16, half these channels, the upper four resolutions "
    "in 16 bits, augmentation, no encoder, no classifier)"
)


@dataclass
class Side:
    """One of the two forms, with everything that its steps take."""

    step: Step
    averages: dict[str, nn.Module]
    batches: Iterator[Any]
    watch: Stopwatch
    number: int = 0

    def turn(self, steps: int) -> dict[str, float]:
        """Milliseconds a step of each phase, over so many steps."""
        self.watch.seconds.clear()
        for _ in range(steps):
            with self.watch.phase("data"):
                images = next(self.batches)[0].to(self.step.accelerator.device)
            with self.watch.phase("rest"):
                self.step(self.number, images)
            self.number += 1
            with self.watch.phase("ema"):
                ema.update(self.averages, self.step.networks, ema.decay(len(images), 10_000, self.number * len(images)))
        return {name: 1e3 * value / steps for name, value in self.watch.seconds.items()}


def side(plain: bool, resolution: int, batch: int, accelerator: Accelerator, channels: tuple[int, ...] | None = None) -> Side:
    """One of the two forms at a resolution of `MODELS`, or with other `channels` at 4, 8, ... px."""
    torch.manual_seed(0)
    model = replace(MODELS[resolution], channels=channels) if channels else MODELS[resolution]
    config = TrainConfig(DataConfig(resolution=resolution), model=model, run=RunConfig(batch=batch, noise="const"))
    config = at_every_step(config) if plain else config
    device = accelerator.device
    networks, _ = build(config.model, resolution, 2, ("generator", "encoder", "discriminator"))
    for network in networks.values():
        network.to(device)
    mobilenet = MobileNetV1(MobileNetV1Config(mobilenet_layers(WIDTHS[resolution]), 2, resolution)).to(device).requires_grad_(False)
    optimisers = build_optimisers(config.optimiser, config.losses, networks)
    watch = Stopwatch(torch.cuda.synchronize if device.type == "cuda" else None)
    step = (PlainStep if plain else Step)(
        config.losses,
        config.run,
        config.regimen,
        config.classifier.in_loop,
        accelerator,
        networks,
        Classifier(mobilenet, Preprocessing(), (-1.0, 1.0)),
        optimisers={name: accelerator.prepare(own) for name, own in optimisers.items()},
        path_mean=torch.zeros((), device=device),
        timer=watch.phase,
    )
    averages: dict[str, nn.Module] = {name: ema.copy_of(networks[name]) for name in ("generator", "encoder")}
    pixels = np.random.default_rng(0).integers(0, 256, (256, 3, resolution, resolution), np.uint8)
    data = Images(pixels, np.zeros(len(pixels)), ("0", "1"), flippable=False)
    return Side(step, averages, iter(DataLoader(data, batch, sampler=EndlessSampler(len(data), 0))), watch)


def against_plain(
    resolution: int, batch: int, turns: int, accelerator: Accelerator, channels: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """Both forms in turns: milliseconds a step of each phase, images a second, their ratio."""
    sides = {name: side(name == "plain", resolution, batch, accelerator, channels) for name in ("own", "plain")}
    for one in sides.values():
        one.turn(2)  # the first steps pay for kernels that are chosen, and memory that is claimed
        one.number = 0
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, one in sides.items():
            found[name].append(one.turn(TURN))
    totals = {name: [sum(turn.values()) for turn in own] for name, own in found.items()}
    ratio = statistics.median(theirs / ours for ours, theirs in zip(totals["own"], totals["plain"], strict=True))
    return {
        "resolution": resolution,
        "channels": list(sides["own"].step.networks["generator"].config.channels),
        "batch": batch,
        "device": device_name(accelerator),
        "precision": accelerator.mixed_precision,
        "milliseconds": {name: {p: statistics.median(turn[p] for turn in own) for p in (*SHOWN, "rest")} for name, own in found.items()},
        "images_a_second": {name: 1e3 * batch / statistics.median(own) for name, own in totals.items()},
        "ratio": ratio,
        "target": TARGET,
        "good": ratio >= TARGET,
    }


def memory(resolution: int, batch: int, accelerator: Accelerator) -> dict[str, Any]:
    """What each form's step with every penalty takes at most, in MiB: of a GPU's memory, or of a fresh process's (Linux)."""
    found: dict[str, Any] = {"resolution": resolution, "batch": batch, "device": device_name(accelerator)}
    for name in ("own", "plain"):
        if accelerator.device.type == "cuda":
            found[name] = peak(name == "plain", resolution, batch, accelerator)
            continue
        command = [sys.executable, "-m", "benchmarks.train", "--peak", name, str(resolution), str(batch)]
        threads = ["--threads", str(torch.get_num_threads())]
        done = subprocess.run(command + threads, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout)
    return found


def peak(plain: bool, resolution: int, batch: int, accelerator: Accelerator) -> dict[str, float]:
    """MiB: `resting` before the first step, and `most` during two, the first of which has every penalty."""
    one = side(plain, resolution, batch, accelerator)
    if accelerator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        resting = torch.cuda.memory_allocated() / 2**20
        one.turn(2)
        return {"resting": resting, "most": torch.cuda.max_memory_allocated() / 2**20}
    resting = status("VmRSS")
    one.turn(2)
    return {"resting": resting, "most": status("VmHWM")}


def status(name: str) -> float:
    """A line of Linux's /proc/self/status in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0]) / 1024


def device_name(accelerator: Accelerator) -> str:
    """The GPU, or how many CPU threads."""
    return torch.cuda.get_device_name() if accelerator.device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, nargs="+", choices=MODELS, help="default 32 64, and on a GPU 256")
    parser.add_argument("--channels", type=int, nargs="+", help="with one resolution: channels at 4, 8, ... px (speed alone)")
    parser.add_argument("--batch", type=int, default=16, help="images a step (default 16)")
    parser.add_argument("--turns", type=int, default=3, help="turns of 16 steps a side (default 3)")
    parser.add_argument("--memory", type=int, nargs="*", default=[4, 16, 32], help="batch sizes (default 4 16 32; none: not measured)")
    parser.add_argument("--precision", choices=("no", "fp16", "bf16"), default="no", help="mixed precision (default no)")
    parser.add_argument("--threads", type=int, help="CPU threads (default PyTorch's)")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="default a GPU where there is one")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a result")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    accelerator = Accelerator(cpu=given.device == "cpu" or bool(given.peak), mixed_precision=given.precision)
    if given.peak:
        form, resolution, batch = given.peak
        print(json.dumps(peak(form == "plain", int(resolution), int(batch), accelerator)))
        return 0
    gpu, good = accelerator.device.type == "cuda", True
    resolutions = given.resolution or ([32, 64, RELEASED] if gpu else [32, 64])
    for resolution in resolutions:
        speed = against_plain(resolution, given.batch, given.turns, accelerator, given.channels and tuple(given.channels))
        good &= speed["good"]
        print(json.dumps(speed) if given.json else speed_report(speed), flush=True)
        for batch in () if given.channels else given.memory:
            taken = memory(resolution, batch, accelerator)
            print(json.dumps(taken) if given.json else memory_report(taken), flush=True)
    if not gpu and RELEASED not in resolutions and not given.json:
        print(f"{RELEASED} px at the released size: not run, there is no GPU. {NVIDIA}")
    return 0 if good else 1


def speed_report(found: dict[str, Any]) -> str:
    """A table of phases, a line of ratios, and at the released size NVIDIA's figure."""
    own, plain = (found["milliseconds"][name] for name in ("own", "plain"))
    channels = f"{found['channels'][0]} to {found['channels'][-1]} channels"
    lines = [f"{found['resolution']} px, {channels}, batch {found['batch']}, {found['device']}, precision {found['precision']}"]
    lines += [f"  {'ms a step':14}{'ours':>9}{'plain':>9}"]
    lines += [f"  {name:14}{own[name]:9.1f}{plain[name]:9.1f}" for name in (*SHOWN, "rest")]
    ours, theirs = (found["images_a_second"][name] for name in ("own", "plain"))
    lines += [f"  images a second: {ours:.1f}, plain {theirs:.1f}: {found['ratio']:.2f} times as many (target {TARGET:g})"]
    if found["resolution"] == RELEASED:
        lines += [f"  {1e3 / ours:.1f} s a kimg, with encoder and classifier. {NVIDIA}"]
    return "\n".join(lines)


def memory_report(found: dict[str, Any]) -> str:
    """A line a batch size."""
    own, plain = (
        "{most:.0f} MiB ({0:.0f} of them the step's)".format(v["most"] - v["resting"], **v) for v in (found["own"], found["plain"])
    )
    return f"  memory at batch {found['batch']}: at most {own}, plain {plain}"


if __name__ == "__main__":
    sys.exit(main())
