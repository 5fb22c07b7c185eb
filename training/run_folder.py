"""A run's folder: whose it is, and where it stopped.

RUN/settings.yaml     the settings, all of them
RUN/log.jsonl         losses and metrics, a line each
RUN/tensorboard/      the same, with pictures
RUN/checkpoints/      the last few (stylexport.training.checkpoint); the first, 0000000, is what the run began with
RUN/stylex.json ...   when it is finished: a converted folder like any other
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput
from stylexport.common.locks import claimed
from stylexport.training.checkpoint import CHECKPOINTS, checkpoints
from stylexport.training.config import TrainConfig, load

SETTINGS = "settings.yaml"
# Settings that a run keeps when it is resumed: its networks are made for them.
FIXED = ("regimen", "model", "data.kind", "data.digits", "data.resolution", "classifier.in_loop")


def choose_settings(
    config: TrainConfig | str | Path, out: Path, overrides: Sequence[str], resume: bool, say: Callable[[str], None]
) -> TrainConfig:
    """The settings of a run: `config` (or its file) with the overrides, or where one is resumed its own with the overrides.

    `say` gets a line for each setting of a resumed run that is not what `config` says. Raises BadInput where settings are broken, or
    where one of `FIXED` is to change.
    """
    given = load(config, overrides)
    if not resume or not (out / SETTINGS).is_file():
        return given
    before, after = load(out / SETTINGS), load(out / SETTINGS, overrides)
    for name in FIXED:
        was, new = (attrgetter(name)(own) for own in (before, after))
        if was != new:
            raise BadInput(f"{out}: {name} was {was} when this run began and cannot become {new}; resume with the run's own settings")
    for line in _differences(after.to_json(), given.to_json()):
        say(f"{out} goes on with its own {line}")
    return after


def _differences(own: Mapping[str, Any], other: Mapping[str, Any], group: str = "") -> Iterator[str]:
    """Each setting that differs, such as "run.steps 100, not 20000"."""
    for name, value in own.items():
        if isinstance(value, dict):
            yield from _differences(value, other[name], f"{group}{name}.")
        elif value != other[name]:
            yield f"{group}{name} {value}, not {other[name]}"


def last_checkpoint(out: Path) -> Path:
    """The last checkpoint of a run. Raises BadInput where there is no run, or one of an earlier version that has no checkpoint yet."""
    if not (out / SETTINGS).is_file():
        raise BadInput(f"{out}: holds no run to go on with; leave --resume out to begin one")
    if not (found := checkpoints(out)):
        raise BadInput(f"{out}: has no checkpoint, and does not say what it began with; remove it, and begin again without --resume")
    return found[-1]


@contextlib.contextmanager
def claim(out: Path, resume: bool) -> Iterator[None]:
    """Makes the folder, and keeps other programs off it while the block runs.

    Raises BadInput where something is there that this run would mix with, or where another program trains there.
    """
    with claimed(out, "another program is training this run; wait for it, or end it"):
        if not resume:
            _clear_unbegun(out)
            if any(out.iterdir()):
                what = "holds a run: --resume goes on with it" if (out / SETTINGS).is_file() else "is not empty"
                raise BadInput(f"{out}: {what}; or name a new folder")
        yield


def _clear_unbegun(out: Path) -> None:
    """Removes what a run left that was killed before its settings were there: its first checkpoint, or a part of it."""
    places = {CHECKPOINTS: out / CHECKPOINTS, "partial": out / f".{SETTINGS}.partial"}
    first = {"0000000", ".0000000.partial"}
    if {*out.iterdir()} <= {*places.values()} and {path.name for path in places[CHECKPOINTS].glob("*")} <= first:
        for place in places.values():
            shutil.rmtree(place, ignore_errors=True)


def record_settings(out: Path, config: TrainConfig) -> None:
    """Writes the settings, once a run is sure to go on with them: a refused one leaves those that were there."""
    with whole_file(out / SETTINGS) as partial:
        partial.write_text(yaml.safe_dump(config.to_json(), sort_keys=False, allow_unicode=True), encoding="utf-8")
