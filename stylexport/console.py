"""What commands share on the terminal: the -v option, JSON on request, and a progress bar that is quiet elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from stylexport.common.errors import BadInput

verbose_option = click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error.")
# What keeps TensorFlow's remarks down while it works, and tf.keras what it was.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")


def print_json(values: Any) -> None:
    """An answer for a program, on standard output."""
    click.echo(json.dumps(values, indent=1, ensure_ascii=False))


def human_bytes(count: float) -> str:
    """A size as people read it: 1.5 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


@contextlib.contextmanager
def importing_tensorflow(command: str) -> Iterator[None]:
    """Keeps what TensorFlow prints while it loads off the terminal: its start-up remarks heed no setting.

    Raises BadInput, naming the command and the extra, where it is not installed.
    """
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    except ImportError as error:
        raise BadInput(f"{command} needs TensorFlow ({error.name} is missing): pip install 'stylexport[tensorflow]'") from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextlib.contextmanager
def importing(extra: str, command: str) -> Iterator[None]:
    """Raises BadInput, naming the command and the extra, where a package of that extra is not installed."""
    try:
        yield
    except ImportError as error:
        raise BadInput(f"{command} needs {error.name}: pip install 'stylexport[{extra}]'") from error


Update = Callable[[str, int, int | None], None]


@contextlib.contextmanager
def bytes_progress() -> Iterator[Update]:
    """A bar a task with bytes, rate and time left, on standard error; nothing where that is no terminal."""
    with _bars(lambda columns: (columns.DownloadColumn(), columns.TransferSpeedColumn())) as update:
        yield update


@contextlib.contextmanager
def steps_progress() -> Iterator[Update]:
    """A bar a task with steps, rate and time left, on standard error; nothing where that is no terminal."""
    with _bars(lambda columns: (columns.MofNCompleteColumn(), columns.TextColumn("{task.fields[rate]:.0f}/s"))) as update:
        yield update


@contextlib.contextmanager
def _bars(middle: Callable[[Any], Sequence[Any]]) -> Iterator[Update]:
    """Bars with what `middle` makes of the module rich.progress between the bar and the time left."""
    if not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), *middle(progress), progress.TimeRemainingColumn())
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}
        first: dict[str, int] = {}  # what was done before: a run that goes on

        def update(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, rate=0.0)
                first[name] = done
            elapsed = bars.tasks[tasks[name]].elapsed or 0.0
            bars.update(tasks[name], completed=done, total=total, rate=(done - first[name]) / elapsed if elapsed else 0.0)

        yield update
