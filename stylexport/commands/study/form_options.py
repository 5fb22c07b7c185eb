"""What the two commands that make a form share: their options, opening the run, and printing where the form is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.console import human_bytes, print_json, say

if TYPE_CHECKING:
    from stylexport.attfind.effects.load_run import Subject
    from stylexport.attfind.select.attributes import Selection
    from stylexport.attfind.studies.form import Study

_PATH = click.Path(path_type=Path)
run_argument = click.argument("run", type=_PATH)
out_option = click.option(
    "-o", "--output", "out", type=_PATH, required=True, metavar="DIR", help="Folder to write the form and its key to."
)
model_option = click.option("--model", type=_PATH, metavar="DIR", help="The converted folder; by default where the run found it.")
attributes_option = click.option(
    "--attributes", "first", type=click.IntRange(min=1), help="How many, the strongest first; by default 6, or all."
)
seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what is drawn at random.")


def opened(run: Path, model: Path | None) -> tuple[Subject, Selection]:
    """A run with its model, and the attributes that were selected. Raises BadInput where one of them is missing."""
    from stylexport.attfind.effects.load_run import load_run
    from stylexport.attfind.select.attributes import read_attributes
    from stylexport.attfind.select.goals import check

    chosen = read_attributes(run)
    subject = load_run(run, model)
    check(subject.effects, chosen)
    return subject, chosen


def report(made: Study, as_json: bool) -> None:
    """Prints where form and key are, and what to do with them."""
    size = made.page.stat().st_size
    if as_json:
        print_json({"study": made.name, "page": str(made.page), "key": str(made.key), "questions": made.questions, "bytes": size})
        return
    say(f"study {made.name}: {made.questions} questions, {made.pictures} pictures, {human_bytes(size)}")
    say(f"For participants: {made.page}")
    say(f"Keep to yourself: {made.key}")
    say(f"Then: stylexport study analyse ANSWERS.csv ... --key {made.key}")
