"""`stylexport study`: a group of commands."""

from __future__ import annotations

import click

from stylexport.lazy import lazy

# command -> its module here, and its line of help
COMMANDS: dict[str, tuple[str, str]] = {
    "classification": ("classification", "Make the first study's form: which attribute is it?"),
    "verbal": ("verbal", "Make the second study's form: what changes, in words?"),
    "analyse": ("analyse", "Analyse the answers."),
}


@click.group("study", cls=lazy(__name__, COMMANDS))
def command() -> None:
    """User studies of a run's attributes, as forms that open without a network."""
