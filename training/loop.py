"""The training loop, from the first step or the last checkpoint to a finished run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylexport.attfind.command_line import explaining_command
from stylexport.common.atomic import whole_folder
from stylexport.common.json_files import read_index
from stylexport.common.types import Progress
from stylexport.training import checkpoint, ema
from stylexport.training.accelerator import open_accelerator
from stylexport.training.beginning import began_from, check_classifier, check_release
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
    """A finished run: its folder, the settings that it ended with, the metrics of its last checkpoint, the command that explains it.

    Example:
        >>> from stylexport.training import DataConfig
        >>> Trained(Path("run"), TrainConfig(DataConfig()), {"image_l1": 0.07}).to_json()["metrics"]
        {'image_l1': 0.07}

    """

    run: Path
    config: TrainConfig
    metrics: dict[str, float]
    explained_by: str = ""

    def to_json(self) -> dict[str, Any]:
        """What was done: the folder, steps, images and metrics."""
        steps = self.config.run.steps
        images = steps * self.config.run.batch
        return {"run": str(self.run), "steps": steps, "images": images, "metrics": self.metrics, "explained_by": self.explained_by}


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
    networks training begins with; the run keeps a copy of them, and refuses others when it is resumed. `device` is "auto", "cpu" or
    "cuda". `progress` is called with ("images", done, total), `say` with a line for what a user should know. Under `accelerate launch`
    every process calls this with the same arguments.

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
    with claim(out, resume) if main else contextlib.nullcontext():
        accelerator.wait_for_everyone()
        # A checkpoint is a release too, with the constants that the run began with.
        trainer = prepare(config, accelerator, begun or release, progress)
        start = _begin(trainer, out, begun, release, overrides, say)
        if main:
            record_settings(out, config)
        with LogFile(out, start, main) as log, TensorBoard(out, start, main) as board:
            metrics = _steps(trainer, out, start, log, board, progress)
        if main:
            with whole_folder(out, into=True) as stage:
                checkpoint.save_stylex(trainer.stylex, stage)
        accelerator.wait_for_everyone()
    return Trained(out, config, metrics, explaining_command(out, trainer.stylex, trainer.classifier))


def _begin(trainer: Trainer, out: Path, begun: Path | None, release: Path | None, overrides: Sequence[str], say: Say) -> int:
    """Takes up the checkpoint `begun`, or writes the first; the step to go on with. Raises BadInput where a run would change on the way."""
    for line in (*([] if begun else [f"{name}: {reuse.summary()}" for name, reuse in trainer.reuses.items()]), *trainer.remarks):
        say(line)
    if begun is None:
        trainer.began_from = began_from(release)
        if trainer.accelerator.is_main_process:
            _save(trainer, out, 0, {})
        trainer.accelerator.wait_for_everyone()
        return 0
    facts = checkpoint.restore(begun, trainer.networks, trainer.averages, trainer.step.optimisers)
    check_release(out, release, facts)
    if remark := check_classifier(out, read_index(begun), trainer.classifier.to_json(), overrides):
        say(remark)
    trainer.restore(facts)
    if trainer.accelerator.is_main_process:
        checkpoint.prune(out, trainer.config.run.keep)
    say(f"goes on after step {facts['step']:,}")
    return int(facts["step"])


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
    if trainer.accelerator.is_main_process:
        stylex = trainer.stylex.eval()
        metrics, explanation = trainer.measure(stylex)
        log.write_metrics(step, metrics)  # before the checkpoint: what leads to one is in the log
        _save(trainer, out, step, metrics)
        board.metrics(step, metrics)
        board.images(step, stylex, trainer.held_out, trainer.accelerator.device)
        if explanation:
            board.attributes(step, explanation)
    trainer.accelerator.wait_for_everyone()
    for network in trainer.networks.values():
        network.train()
    return metrics


def _save(trainer: Trainer, out: Path, step: int, metrics: dict[str, float]) -> None:
    run = trainer.config.run
    facts = {"images": step * run.batch, **trainer.state(), "settings": trainer.config.to_json(), "metrics": metrics}
    checkpoint.save(out, step, trainer.stylex, trainer.networks, trainer.step.optimisers, facts, run.keep)
