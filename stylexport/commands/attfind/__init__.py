"""`stylexport attfind`: a group of commands."""

from __future__ import annotations

import click

from stylexport.lazy import lazy

# command -> its module here, and its line of help
COMMANDS: dict[str, tuple[str, str]] = {}


@click.group("attfind", cls=lazy(__name__, COMMANDS))
def command() -> None:
    """AttFind: which attributes change the classifier's mind (docs/attfind.md)."""
