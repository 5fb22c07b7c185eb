"""A run's folder: whose it is, and where it stopped.

RUN/settings.yaml     the settings, all of them
RUN/log.jsonl         losses and metrics, a line each
RUN/tensorboard/      the same, with pictures
RUN/checkpoints/      the last few (stylexport.training.checkpoint)
RUN/stylex.json ...   when it is finished: a converted folder like any other
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput
from stylexport.training.checkpoint import checkpoints
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


def last_checkpoint(out: Path) -> Path | None:
    """The last checkpoint of a run; None where it had none yet. Raises BadInput where there is no run."""
    if not (out / SETTINGS).is_file():
        raise BadInput(f"{out}: holds no run to go on with; leave --resume out to begin one")
    found = checkpoints(out)
    return found[-1] if found else None


def claim(out: Path, resume: bool) -> None:
    """Makes the folder. Raises BadInput where something is there that this run would mix with."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out}: is a file; name a folder")
    if not resume and out.is_dir() and any(out.iterdir()):
        what = "holds a run: --resume goes on with it" if (out / SETTINGS).is_file() else "is not empty"
        raise BadInput(f"{out}: {what}; or name a new folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); name a folder where you may write") from error


def record_settings(out: Path, config: TrainConfig) -> None:
    """Writes the settings, once a run is sure to go on with them: a refused one leaves those that were there."""
    with whole_file(out / SETTINGS) as partial:
        partial.write_text(yaml.safe_dump(config.to_json(), sort_keys=False, allow_unicode=True), encoding="utf-8")
