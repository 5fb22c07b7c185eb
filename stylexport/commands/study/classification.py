"""`stylexport study classification`."""

from __future__ import annotations

from pathlib import Path

import click

from stylexport.commands.study.form_options import attributes_option, model_option, opened, out_option, report, run_argument, seed_option
from stylexport.console import json_option, verbose_option


@click.command("classification")
@run_argument
@out_option
@attributes_option
@click.option("--questions", type=click.IntRange(min=1, max=999), default=20, show_default=True)
@click.option("--examples", type=click.IntRange(min=1), default=2, show_default=True, help="Animations of each group in a question.")
@click.option(
    "--kind",
    type=click.Choice(["attribute", "direction", "both"]),
    default="attribute",
    show_default=True,
    help="What the groups differ in: two attributes, or one attribute's two directions.",
)
@seed_option
@model_option
@json_option
@verbose_option
def command(
    run: Path, out: Path, first: int | None, questions: int, examples: int, kind: str, seed: int, model: Path | None, as_json: bool
) -> None:
    """Make a form that asks, of animated examples of two of RUN's attributes, which of them one more animation shows.

    DIR/index.html goes to participants; DIR/key.json, which holds the answers, does not.
    """
    subject, attributes = opened(run, model)
    from stylexport.attfind.studies.classification import classification

    report(classification(subject, attributes, out, first=first, questions=questions, examples=examples, kind=kind, seed=seed), as_json)
