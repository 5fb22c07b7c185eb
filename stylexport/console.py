"""What commands share on the terminal: lines and JSON, the -v option, and a progress bar that is quiet elsewhere.

Whatever comes from a file, a path or a person is made safe here, when it is printed: commands print by `say` and `print_json` alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from stylexport.common.errors import BadInput
from stylexport.common.json_files import plain
from stylexport.common.text import printable

verbose_option = click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
# No remarks from TensorFlow while it works, and tf.keras is Keras 2, which wrote the releases.
TENSORFLOW_SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}
_STYLES: dict[str, dict[str, Any]] = {
    "bold": {"bold": True},
    "dim": {"dim": True},
    "green": {"fg": "green"},
    "yellow": {"fg": "yellow"},
}


def say(*parts: str | tuple[str, str], err: bool = False) -> None:
    r"""Prints a line, on standard error where `err`; a part may be (text, "bold", "dim" or a colour), which a terminal shows.

    Example:
        >>> say("size: ", ("3 [v2]\x1b[2J", "bold"))
        size: 3 [v2]\x1b[2J

    """
    stream = sys.stderr if err else sys.stdout
    coloured = stream.isatty() and not os.environ.get("NO_COLOR")
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    shown = [click.style(printable(text), **_STYLES[style]) if style and coloured else printable(text) for text, style in styled]
    print("".join(shown), file=stream, flush=True)  # not click.echo, which writes UTF-8 where ASCII was asked for


def print_json(values: Any) -> None:
    """An answer for a program, on standard output: JSON in ASCII, without NaN and lone surrogates, which JSON does not have."""
    print(json.dumps(plain(values), indent=1), flush=True)


def human_bytes(count: float) -> str:
    """A size as people read it.

    Example:
        >>> human_bytes(1_500_000)
        '1.5 MB'

    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


@contextlib.contextmanager
def importing_tensorflow(command: str) -> Iterator[None]:
    """The block imports TensorFlow: what that prints stays off the terminal, as no setting of TensorFlow's achieves.

    Raises BadInput, naming the command and the extra, where TensorFlow is not installed.
    """
    os.environ.update({name: value for name, value in TENSORFLOW_SETTINGS.items() if name not in os.environ})
    sys.stderr.flush()
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with importing("tensorflow", command):
            yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


@contextlib.contextmanager
def importing(extra: str, command: str) -> Iterator[None]:
    """The block imports packages of an extra. Raises BadInput, naming the command and the extra, where one is not installed."""
    try:
        yield
    except ImportError as error:
        if is_own(error):
            raise
        raise BadInput(missing(extra, command, error.name)) from error


def is_own(error: ImportError) -> bool:
    """Whether what could not be imported is a part of StylExport: no package that is installed would change that."""
    return (error.name or "").split(".")[0] == "stylexport"


def missing(extra: str, command: str, package: str | None) -> str:
    """The message that a command needs a package of an extra."""
    needed = "TensorFlow" if extra == "tensorflow" else package or "packages"
    which = f" ({package} is missing)" if extra == "tensorflow" and package else ""
    return f"{command} needs {needed}{which}: pip install 'stylexport[{extra}]'"


Update = Callable[[str, int, int | None], None]


@contextlib.contextmanager
def bytes_progress() -> Iterator[Update]:
    """A progress bar for each task, with bytes, rate and time left, on standard error; nothing where that is not a terminal."""
    with _bars(lambda columns: (columns.DownloadColumn(), columns.TransferSpeedColumn())) as update:
        yield update


@contextlib.contextmanager
def steps_progress() -> Iterator[Update]:
    """A progress bar for each task, with steps, rate and time left, on standard error; nothing where that is not a terminal."""
    with _bars(lambda columns: (columns.MofNCompleteColumn(), columns.TextColumn("{task.fields[rate]:.0f}/s"))) as update:
        yield update


@contextlib.contextmanager
def _bars(middle: Callable[[Any], Sequence[Any]]) -> Iterator[Update]:
    """Progress bars; `middle` takes the module rich.progress and returns the columns between the bar and the time left."""
    if not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *middle(progress),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}
        first: dict[str, int] = {}  # what a run that is resumed had done before

        def update(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(printable(name), total=total, rate=0.0)
                first[name] = done
            elapsed = bars.tasks[tasks[name]].elapsed or 0.0
            bars.update(tasks[name], completed=done, total=total, rate=(done - first[name]) / elapsed if elapsed else 0.0)

        yield update
