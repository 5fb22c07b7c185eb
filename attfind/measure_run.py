"""Measures a whole run, by one process or by the processes that `accelerate launch` started."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylexport.attfind.arguments import check_counts, check_numbers
from stylexport.attfind.effects.create_run import Settings, create_or_resume
from stylexport.attfind.effects.measure import measure
from stylexport.attfind.effects.run import Run
from stylexport.attfind.effects.sources import Source
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.screening.screen import screen
from stylexport.common.errors import BadInput
from stylexport.common.locks import claimed
from stylexport.common.types import Progress
from stylexport.torch_models.execution import PRECISIONS, Processes, computing

SEARCHES = ("exhaustive", "screened")


@dataclass(frozen=True)
class Measurement:
    """What measuring a run came to. `measured_now` images were missing before; `screening` is set where the search was screened."""

    effects: Path
    images: int
    measured_now: int
    processes: int
    coordinates: int
    labels: tuple[str, ...]
    batch: int
    seconds: float
    screening: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """For a program; without the list of every move that was measured."""
        values = {**vars(self), "effects": str(self.effects), "labels": list(self.labels)}
        screening = values.pop("screening")
        return values if screening is None else {**values, "screening": {k: v for k, v in screening.items() if k != "entries"}}


def measure_run(
    folder: Path,
    model: Explained,
    classify: Classify,
    source: Callable[[], Source],
    settings: Settings,
    facts: Mapping[str, Any],
    team: Processes,
    progress: Progress | None = None,
) -> Measurement | None:
    """Creates or resumes the run in `folder`, and measures what it lacks. The main process of the `team` does all but its share of images.

    `facts` are what run.json says of model and classifier. None in the other processes. Raises BadInput.
    """
    if settings.search not in SEARCHES or settings.precision not in PRECISIONS:
        known = f"searches are {', '.join(SEARCHES)}; precisions are {', '.join(PRECISIONS)}"
        raise BadInput(f"search {settings.search!r}, precision {settings.precision!r}: {known}")
    check_counts(limit=settings.limit, batch=settings.batch)
    check_numbers(shift=settings.shift, share=settings.share)
    settings = replace(
        settings, shift=float(settings.shift), share=float(settings.share), limit=_int(settings.limit), batch=_int(settings.batch)
    )
    if not 0 < settings.share <= 1:
        raise BadInput(f"share {settings.share:g}: is a part of the exhaustive search's passes, above 0 and at most 1")
    started = time.perf_counter()

    def measure_share(run: Run, report: Progress | None) -> None:
        """Images number, number + count, ... of the run are this process's."""
        own = range(team.number, run.images, team.count)
        measure(run, model, classify, settings.batch or int(run.about["batch"]), images=own, progress=report)
        team.wait()

    with computing(torch.device(model.device), settings.precision):
        if not team.main:
            team.wait()
            measure_share(Run(folder), None)
            team.wait()
            return None
        with claimed(folder, "another program is measuring this run; wait for it, or end it"):
            run = create_or_resume(folder, model, classify, source(), settings, facts)
            run.clear_leftovers()
            missing = len(run.missing())
            batch = settings.batch or int(run.about["batch"])
            if settings.search == "screened":  # by one process: what is measured next depends on all that was measured
                screen(run, model, classify, batch, share=settings.share, progress=progress)
            team.wait()
            measure_share(run, progress)
            path = run.finish()
    team.wait()
    return Measurement(
        effects=path,
        images=run.images,
        measured_now=missing,
        processes=team.count,
        coordinates=run.shape[1],
        labels=tuple(run.about["labels"]),
        batch=batch,
        seconds=round(time.perf_counter() - started, 3),
        screening=run.about["screening"] if settings.search == "screened" else None,
    )


def _int(value: int | None) -> int | None:
    """A number of numpy's as JSON takes it."""
    return None if value is None else int(value)
