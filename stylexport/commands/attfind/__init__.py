"""`stylexport attfind`: a group of commands."""

from __future__ import annotations

import click

from stylexport.lazy import lazy

# command -> its module here, and its line of help
COMMANDS: dict[str, tuple[str, str]] = {
    "effects": ("effects", "Measure what moving each coordinate of each image does to the logits."),
    "select": ("select", "Select the attributes that change the classifier's mind."),
    "show": ("show", "Show the attributes where they work best: a page, sheets, animations."),
    "evaluate": ("evaluate", "Count how many images change their class when attributes move together."),
    "import": ("import_", "Open the authors' effects (examples_1.tfrecord) as a run."),
    "export": ("export", "Write a run's effects as the authors' notebook opens them."),
    "compare": ("compare", "Compare two runs: ranks, first K, largest differences."),
}


@click.group("attfind", cls=lazy(__name__, COMMANDS))
def command() -> None:
    """AttFind: which attributes change the classifier's mind (docs/attfind.md)."""
