"""`stylexport study analyse`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.common.text import printable
from stylexport.console import importing, json_option, print_json, say, verbose_option

if TYPE_CHECKING:
    from stylexport.attfind.studies.analyse import Accuracy, Described, Score
    from stylexport.attfind.studies.student import Interval

_PATH = click.Path(path_type=Path)


@click.command("analyse")
@click.argument("files", nargs=-1, required=True, type=_PATH)
@click.option("--key", "keys", multiple=True, type=_PATH, metavar="KEY.JSON", help="The key beside the form; once for each study.")
@click.option(
    "--words", "most", type=click.IntRange(min=1), default=3, show_default=True, help="Common words of each attribute; ties are all shown."
)
@json_option
@verbose_option
def command(files: tuple[Path, ...], keys: tuple[Path, ...], most: int, as_json: bool) -> None:
    """Analyse the answers in FILES: accuracy of the classification study, common words of the verbal one.

    FILES are the CSV files that the forms save. The classification study needs its key; the verbal one's gives the attributes' names.

    Needs the extra [studies].
    """
    with importing("studies", "study analyse"):
        from stylexport.attfind.studies.analyse import analyse, to_json

    found = analyse(files, keys, most=most)
    if as_json:
        print_json(to_json(found))
        return
    if found.classification is not None:
        _print_accuracy(found.classification)
    if found.verbal:
        _print_words(found.verbal)


def _print_accuracy(found: Accuracy) -> None:
    count = len(found.participants)
    others = f"population {found.sd_population:.3f}; over attributes {found.sd_attributes:.3f}"
    spread = "" if found.sd_sample is None else f" ± {found.sd_sample:.3f} (sample; {others})"
    say(f"Accuracy {found.mean:.3f}{spread}, mean of {count} participant{'s' * (count != 1)}; chance is {found.chance}")
    if found.interval is not None:
        say(f"95 % interval of the mean, by participants (Student): {_range(found.interval)}")
    _print_scores("participant", found.participants)
    _print_scores("kind of question", found.kinds)
    _print_scores("attribute that was right", [*found.attributes, found.overall])


def _print_scores(title: str, scores: Iterable[Score]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, title_justify="left")
    table.add_column(title)
    for name in ("right", "of", "accuracy", "95 % (Wilson)"):
        table.add_column(name, justify="right")
    for score in scores:
        table.add_row(Text(printable(score.name)), str(score.right), str(score.total), f"{score.accuracy:.3f}", _range(score.interval))
    say()
    Console(highlight=False, markup=False).print(table)


def _print_words(found: Iterable[Described]) -> None:
    say()
    say("Commonest words, lemmatised, with the number of answers that hold them and the forms in which they are written")
    for described in found:
        words = [f"{w.lemma} {w.count}" + (f" ({', '.join(w.forms)})" if w.forms != (w.lemma,) else "") for w in described.words]
        say(f"{described.name} ({described.answers} answers): {'; '.join(words) or 'no describing word'}")


def _range(interval: Interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
