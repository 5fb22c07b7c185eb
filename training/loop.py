"""The training loop, from the first step or the last checkpoint to a finished run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylexport.common.types import Progress
from stylexport.training import checkpoint, ema
from stylexport.training.accelerator import open_accelerator
from stylexport.training.config import TrainConfig
from stylexport.training.logging.divergence import check_weights
from stylexport.training.logging.log_file import LogFile
from stylexport.training.logging.tensorboard import TensorBoard
from stylexport.training.optimisers import rate_share, set_rates
from stylexport.training.run_folder import choose_settings, claim, last_checkpoint, record_settings
from stylexport.training.setup import Trainer, prepare

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A finished run: its folder, the settings that it ended with, and the metrics of its last checkpoint.

    Example:
        >>> from stylexport.training import DataConfig
        >>> Trained(Path("run"), TrainConfig(DataConfig()), {"image_l1": 0.07}).to_json()["metrics"]
        {'image_l1': 0.07}

    """

    run: Path
    config: TrainConfig
    metrics: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """What was done: the folder, steps, images and metrics."""
        steps = self.config.run.steps
        return {"run": str(self.run), "steps": steps, "images": steps * self.config.run.batch, "metrics": self.metrics}


def train(
    config: TrainConfig | str | Path,
    out: str | Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    release: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> Trained:
    """Trains a StylEx (Lang et al. 2021, section 3) into the folder `out`, which becomes a converted folder like any other.

    `config` is the settings, or a YAML file of them; `overrides` such as "run.steps=100" come on top. `resume` continues after the last
    checkpoint of `out`, with the run's own settings and the overrides, on a CPU to the same bytes. `release` is a converted folder whose
    networks training begins with. `device` is "auto", "cpu" or "cuda". `progress` is called with ("images", done, total), `say` with a
    line for what a user should know. Under `accelerate launch` every process calls this with the same arguments.

    Raises BadInput, naming the setting or the file, and `stylexport.training.logging.divergence.Stopped` where a run cannot get better.

    Example (one step on a folder of two labels, with the embedded release's classifier and networks):
        >>> import tempfile
        >>> import numpy as np
        >>> from PIL import Image
        >>> from stylexport import convert
        >>> from stylexport.checkpoints import EMBEDDED
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = convert(EMBEDDED, folder / "converted")
        >>> for label in ("8", "9"):
        ...     (folder / "digits" / label).mkdir(parents=True)
        ...     for i in range(4):
        ...         Image.fromarray(np.full((32, 32), 60 * i, np.uint8)).save(folder / "digits" / label / f"{i}.png")
        >>> config = folder / "settings.yaml"
        >>> _ = config.write_text(f"data: {{kind: folder, path: {folder / 'digits'}, workers: 0}}")
        >>> short = ["run.steps=1", "run.batch=2", "metrics.images=1", "losses.path_length=0"]
        >>> trained = train(config, folder / "run", short, release=folder / "converted", device="cpu")
        >>> sorted(trained.metrics)[:2], (folder / "run" / "stylex.json").is_file()
        (['image_l1', 'kl'], True)

    """
    out, release = Path(out), None if release is None else Path(release)
    config = choose_settings(config, out, overrides, resume, say)
    accelerator = open_accelerator(device, config.run.precision)
    main = accelerator.is_main_process
    begun = last_checkpoint(out) if resume else None
    if main:
        claim(out, resume)
    accelerator.wait_for_everyone()
    # A checkpoint is a release too, with the constants that the run began with.
    trainer = prepare(config, accelerator, begun or release, progress)
    for line in (*([] if begun else [f"{name}: {reuse.summary()}" for name, reuse in trainer.reuses.items()]), *trainer.remarks):
        say(line)
    start = 0
    if begun:
        facts = checkpoint.restore(begun, trainer.networks, trainer.averages, trainer.step.optimisers)
        trainer.restore(facts)
        start = int(facts["step"])
        say(f"goes on after step {start:,}")
    if main:
        record_settings(out, config)
    with LogFile(out, start, main) as log, TensorBoard(out, start, main) as board:
        metrics = _steps(trainer, out, start, log, board, progress)
    if main:
        checkpoint.save_stylex(trainer.stylex, out)
    accelerator.wait_for_everyone()
    return Trained(out, config, metrics)


def _steps(trainer: Trainer, out: Path, start: int, log: LogFile, board: TensorBoard, progress: Progress | None) -> dict[str, float]:
    """Steps `start` ... to the last; the last checkpoint's metrics."""
    config, run, accelerator = trainer.config, trainer.config.run, trainer.accelerator
    metrics: dict[str, float] = {}
    batches = iter(trainer.batches(start))
    since = time.perf_counter()
    for number in range(start, run.steps):
        images, _ = next(batches)
        set_rates(trainer.step.optimisers, rate_share(config.optimiser, run.steps, number))
        losses = trainer.step(number, images.to(accelerator.device, non_blocking=True))
        done = number + 1
        ema.update(trainer.averages, trainer.networks, ema.decay(run.batch, run.ema_half_life, done * run.batch, trainer.ramp))
        log.add(losses)

        ends = done % run.checkpoint_every == 0 or done == run.steps
        if ends or done % run.log_every == 0:
            means, window = log.means(accelerator)
            trainer.divergence.check(done, window, means)
            pace = window * run.batch / (time.perf_counter() - since)
            log.write(done, means, pace)
            board.losses(done, means, pace)
        if ends:
            check_weights(trainer.networks, done)
            metrics = _checkpoint(trainer, out, done, log, board)
        if ends or done % run.log_every == 0:
            since = time.perf_counter()  # the pace is of the steps alone: a checkpoint's time is left out
        if progress and accelerator.is_main_process:
            progress("images", done * run.batch, run.steps * run.batch)
    return metrics


def _checkpoint(trainer: Trainer, out: Path, step: int, log: LogFile, board: TensorBoard) -> dict[str, float]:
    """Measures and saves; the main process does both, the others wait."""
    metrics: dict[str, float] = {}
    config = trainer.config
    if trainer.accelerator.is_main_process:
        stylex = trainer.stylex.eval()
        metrics, explanation = trainer.measure(stylex)
        facts = {"images": step * config.run.batch, **trainer.state(), "settings": config.to_json(), "metrics": metrics}
        log.write_metrics(step, metrics)  # before the checkpoint: what leads to one is in the log
        checkpoint.save(out, step, stylex, trainer.networks, trainer.step.optimisers, facts, config.run.keep)
        board.metrics(step, metrics)
        board.images(step, stylex, trainer.held_out, trainer.accelerator.device)
        if explanation:
            board.attributes(step, explanation)
    trainer.accelerator.wait_for_everyone()
    for network in trainer.networks.values():
        network.train()
    return metrics
