"""What commands share on the terminal: the -v option, JSON on request, and a progress bar that is quiet elsewhere."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

verbose_option = click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show the traceback of an error.")
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
def bytes_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar a task with bytes, rate and time left, on standard error; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield update
