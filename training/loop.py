"""The training loop, from the first step or the last checkpoint to a finished run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor

from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.torch_models.execution import PATIENCE
from stylexport.training import checkpoint, ema
from stylexport.training.checkpoint import save_stylex
from stylexport.training.config import TrainConfig
from stylexport.training.logging.divergence import REMEDY, Stopped, Watch
from stylexport.training.logging.log_file import Journal
from stylexport.training.logging.tensorboard import Board
from stylexport.training.optimisers import schedule, set_rate
from stylexport.training.run_folder import claim, record, resumed
from stylexport.training.setup import Job, begin

Say = Callable[[str], None]


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    release: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Trains as the settings say and leaves a converted folder in `out`; returns the last metrics and what was done.

    `resume` goes on from the last checkpoint, bit for bit on a CPU; `release` is a converted folder to begin from. Raises BadInput, and
    `stylexport.training.logging.divergence.Stopped` where a run cannot get better.
    """
    accelerator = _accelerator(config.run.precision, device)
    found = resumed(out) if resume else None
    release = found or release  # a checkpoint is a release too, with the constants that the run began with
    if accelerator.is_main_process:
        claim(out, resume)
    accelerator.wait_for_everyone()
    job = begin(config, accelerator, release, progress)
    reused = [] if found else [f"{name}: {reuse.told()}" for name, reuse in job.reuses.items()]
    for line in (*reused, *job.remarks):
        say(line)
    watch = Watch(config.run.stuck_after, job.blank_l1)
    start = _restore(job, found, watch) if found else 0
    if accelerator.is_main_process:
        record(out, config)
    if found:
        say(f"goes on after step {start:,}")
    with Journal(out, start, accelerator.is_main_process) as journal, Board(out, start, accelerator.is_main_process) as board:
        metrics = _run(job, out, start, watch, journal, board, progress)
    if accelerator.is_main_process:
        save_stylex(job.stylex, out)
    accelerator.wait_for_everyone()
    return {"run": str(out), "steps": config.run.steps, "images": config.run.steps * config.run.batch, "metrics": metrics}


def _accelerator(precision: str, device: str) -> Accelerator:
    """The processes, device and precision. Raises BadInput where they are not to be had."""
    if precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
        raise BadInput("run.precision: fp16 needs a GPU; bf16 and fp32 run on a CPU")
    patience = InitProcessGroupKwargs(timeout=PATIENCE)  # the main process measures at checkpoints while the others wait
    try:
        accelerator = Accelerator(cpu=device == "cpu", mixed_precision={"fp32": "no"}.get(precision, precision), kwargs_handlers=[patience])
    except ValueError as error:
        raise BadInput(f"run.precision: {precision} is not to be had here ({' '.join(str(error).split())})") from error
    if device == "cuda" and accelerator.device.type != "cuda":
        raise BadInput("--device cuda: PyTorch sees no GPU here; say --device cpu, or leave it out")
    return accelerator


def _run(job: Job, out: Path, start: int, watch: Watch, journal: Journal, board: Board, progress: Progress | None) -> dict[str, float]:
    """Steps `start` ... to the last; the last checkpoint's metrics."""
    config, run = job.config, job.config.run
    metrics: dict[str, float] = {}
    since = time.perf_counter()
    batches = iter(job.batches(start))
    for number in range(start, run.steps):
        images, _ = next(batches)
        set_rate(job.step.optimisers, schedule(config.optimiser, run.steps, number))
        losses = job.step(number, images.to(job.accelerator.device, non_blocking=True))
        done = number + 1
        ema.update(job.averages, job.networks, ema.decay(run.batch, run.ema_half_life, done * run.batch, job.ramp))
        journal.add(losses)
        due = done % run.checkpoint_every == 0 or done == run.steps
        if due or done % run.log_every == 0:
            means, window = journal.means(job.accelerator)
            watch.look(done, window, means)
            pace = window * run.batch / (time.perf_counter() - since)
            journal.write(done, means, pace)
            board.losses(done, means, pace)
        if due:
            _check_weights(job, done)
            metrics = _checkpoint(job, out, done, watch, board, journal)
        if due or done % run.log_every == 0:
            since = time.perf_counter()  # of the steps alone: what checkpoints take is not theirs
        if progress and job.accelerator.is_main_process:
            progress("images", done * run.batch, run.steps * run.batch)
    return metrics


def _check_weights(job: Job, step: int) -> None:
    """Raises Stopped where the last update broke a network, before that is saved."""
    for name, network in job.networks.items():
        if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
            raise Stopped(f"step {step}: the {name}'s weights are no numbers any more; {REMEDY}")


def _checkpoint(job: Job, out: Path, step: int, watch: Watch, board: Board, journal: Journal) -> dict[str, float]:
    """Measures and saves; the main process does both, the others wait."""
    found: dict[str, float] = {}
    if job.accelerator.is_main_process:
        stylex = job.stylex.eval()
        found, explanation = job.measured(stylex)
        facts = {
            "images": step * job.config.run.batch,
            "path_mean": float(job.step.path_mean),
            "watch": {"stuck": watch.stuck, "best_l1": watch.best_l1},
            "scaler": _scaler(job.accelerator),
            "ramp": job.ramp,
            "settings": job.config.to_json(),
            "metrics": found,
        }
        journal.write_metrics(step, found)  # first, so that what a checkpoint is the end of has been told
        checkpoint.save(out, step, stylex, job.networks, job.step.optimisers, facts, job.config.run.keep)
        board.metrics(step, found)
        board.images(step, stylex, job.held_out, job.accelerator.device)
        if explanation:
            board.attributes(step, explanation)
    job.accelerator.wait_for_everyone()
    for network in job.networks.values():
        network.train()
    return found


def _restore(job: Job, folder: Path, watch: Watch) -> int:
    """Fills the job from a checkpoint; the number of steps that it has done."""
    facts = checkpoint.restore(folder, job.networks, job.averages, job.step.optimisers)
    job.step.path_mean.fill_(facts["path_mean"])
    job.ramp = facts["ramp"]
    watch.stuck, watch.best_l1 = dict(facts["watch"]["stuck"]), facts["watch"]["best_l1"]
    if facts["scaler"] and job.accelerator.scaler is not None:
        job.accelerator.scaler.load_state_dict(facts["scaler"])
    return int(facts["step"])


def _scaler(accelerator: Accelerator) -> dict[str, Any] | None:
    """The loss scale of fp16, as JSON."""
    if accelerator.scaler is None:
        return None
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in accelerator.scaler.state_dict().items()}
