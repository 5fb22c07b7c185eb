"""RUN/log.jsonl: the losses' means over each window of steps, and the metrics at checkpoints, a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from stylexport.common.atomic import whole_file

LOG = "log.jsonl"


class LogFile:
    """Collects losses without waiting for the device, and writes their means; only where `writes`, in the main process.

    Lines after step `start` are of a run that was killed later than its last checkpoint, and are removed.
    """

    def __init__(self, run: Path, start: int, writes: bool) -> None:
        self.path, self.writes = run / LOG, writes
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.steps = 0
        if writes:
            kept = "".join(f"{line}\n" for line in _lines(self.path) if _step(line) <= start)
            with whole_file(self.path) as partial:
                partial.write_text(kept, encoding="utf-8", errors="backslashreplace")

    def __enter__(self) -> LogFile:
        """Opens the file to append."""
        self.file = self.path.open("a", encoding="utf-8") if self.writes else None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes it."""
        if self.file:
            self.file.close()

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """One step's losses."""
        self.steps += 1
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self, accelerator: Accelerator) -> tuple[dict[str, float], int]:
        """The means since the last call over all processes, and of how many steps."""
        names = sorted(self.sums)
        stacked = torch.stack([self.sums[name] / self.counts[name] for name in names])
        values = accelerator.reduce(stacked, "mean").tolist()
        steps, self.steps = self.steps, 0
        self.sums.clear()
        self.counts.clear()
        return dict(zip(names, values, strict=True)), steps

    def write(self, step: int, means: Mapping[str, float], pace: float) -> None:
        """The means after `step` steps, and images a second."""
        self._write({"step": step, **means, "images_per_second": round(pace, 1)})

    def write_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """The metrics of a checkpoint."""
        self._write({"step": step, "metrics": dict(metrics)})

    def _write(self, values: Mapping[str, Any]) -> None:
        if self.file:
            self.file.write(json.dumps(values) + "\n")
            self.file.flush()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _step(line: str) -> float:
    """A line's step; infinity where it was cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
