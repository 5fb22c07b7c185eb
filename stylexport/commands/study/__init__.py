"""`stylexport study`: a group of commands."""

from __future__ import annotations

import click

from stylexport.lazy import lazy

# command -> its module here, and its line of help
COMMANDS: dict[str, tuple[str, str]] = {}


@click.group("study", cls=lazy(__name__, COMMANDS))
def command() -> None:
    """User studies of a run's attributes, as forms that open without a network."""
