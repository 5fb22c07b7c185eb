"""A run's folder: whose it is, and where it stopped.

RUN/settings.yaml     the settings, all of them
RUN/log.jsonl         losses and metrics, a line each
RUN/tensorboard/      the same, with pictures
RUN/checkpoints/      the last few (stylexport.training.checkpoint)
RUN/stylex.json ...   when it is finished: a converted folder like any other
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import yaml

from stylexport.common.errors import BadInput
from stylexport.torch_models.pretrained import write_whole
from stylexport.training.checkpoint import checkpoints
from stylexport.training.config import TrainConfig, load

SETTINGS = "settings.yaml"
# What a run's networks are made for.
FIXED = ("regimen", "model", "data.kind", "data.digits", "data.resolution", "classifier.in_loop")


def resumed(out: Path) -> Path | None:
    """The last checkpoint of a run; None where it had none yet. Raises BadInput where there is no run."""
    if not (out / SETTINGS).is_file():
        raise BadInput(f"{out}: holds no run to go on with; leave --resume out to begin one")
    found = checkpoints(out)
    return found[-1] if found else None


def own_settings(out: Path, overrides: Sequence[str] = ()) -> TrainConfig | None:
    """A run's own settings with `group.name=value` on top; None where there is no run.

    Raises BadInput where they are broken, or where one of `FIXED` is to change.
    """
    path = out / SETTINGS
    if not path.is_file():
        return None
    before, after = load(path), load(path, overrides)
    for name in FIXED:
        was, new = (attrgetter(name)(own) for own in (before, after))
        if was != new:
            raise BadInput(f"{out}: {name} was {was} when this run began and cannot become {new}; resume with the run's own settings")
    return after


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
        raise _unwritable(out, error) from error


def record(out: Path, config: TrainConfig) -> None:
    """Writes the settings, once a run is sure to go on with them: a refused one leaves those that were there."""
    text = yaml.safe_dump(config.to_json(), sort_keys=False, allow_unicode=True)
    try:
        write_whole(out / SETTINGS, lambda path: path.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(out: Path, error: OSError) -> BadInput:
    return BadInput(f"{out}: cannot be written ({error.strerror}); name a folder where you may write")
