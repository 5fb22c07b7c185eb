"""`stylexport classifier`: a group of commands."""

from __future__ import annotations

import click

from stylexport.lazy import lazy

# command -> its module here, and its line of help
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("train", "Train one on MNIST or pictures, and say how far it is to be believed."),
}


@click.group("classifier", cls=lazy(__name__, COMMANDS))
def command() -> None:
    """Classifiers for a StylEx to explain (docs/training-data.md)."""
