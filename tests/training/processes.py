"""Trainings in processes of their own, which share one import of PyTorch."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from stylexport.training.loop import train

_CONTEXT = multiprocessing.get_context("forkserver")
# What a training imports, also late: what is imported before the fork is imported once.
_CONTEXT.set_forkserver_preload(["stylexport.training.loop", "lpips", "torch._dynamo", "scipy.linalg"])


def begin(config: Path, out: Path, *overrides: str, environment: Mapping[str, str] | None = None, **options: Any) -> BaseProcess:
    """A process that trains on the CPU as `stylexport train CONFIG -o OUT` does."""
    process: BaseProcess = _CONTEXT.Process(target=_train, args=(environment or {}, config, out, overrides, options))
    process.start()
    return process


def finish(*processes: BaseProcess) -> None:
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes)


def _train(environment: Mapping[str, str], config: Path, out: Path, overrides: tuple[str, ...], options: dict[str, Any]) -> None:
    os.environ.update(environment)
    train(config, out, overrides, device="cpu", **options)
