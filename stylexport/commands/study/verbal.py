"""`stylexport study verbal`."""

from __future__ import annotations

from pathlib import Path

import click

from stylexport.commands.study.form_options import attributes_option, model_option, opened, out_option, report, run_argument, seed_option
from stylexport.console import json_option, verbose_option


@click.command("verbal")
@run_argument
@out_option
@attributes_option
@click.option("--examples", type=click.IntRange(min=1), default=4, show_default=True, help="Animations of an attribute.")
@seed_option
@model_option
@json_option
@verbose_option
def command(run: Path, out: Path, first: int | None, examples: int, seed: int, model: Path | None, as_json: bool) -> None:
    """Make a form that shows animations of each of RUN's attributes and asks in one to four words what changes.

    DIR/index.html goes to participants; DIR/key.json says which question shows which attribute.
    """
    subject, attributes = opened(run, model)
    from stylexport.attfind.studies.verbal import verbal

    report(verbal(subject, attributes, out, first=first, examples=examples, seed=seed), as_json)
