"""`stylexport attfind compare`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.common.errors import BadInput
from stylexport.console import json_option, print_json, say, verbose_option

if TYPE_CHECKING:
    from stylexport.attfind.compare import Comparison
    from stylexport.attfind.effects.effects import Effects

_PATH = click.Path(path_type=Path)


@click.command("compare")
@click.argument("run", type=_PATH)
@click.argument("other", type=_PATH)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, metavar="K", help="How many of the first coordinates to compare."
)
@click.option(
    "--require-overlap", type=click.FloatRange(0, 1), metavar="X", help="Leave with 1 where a first-K overlap is below this share."
)
@json_option
@verbose_option
def command(run: Path, other: Path, top: int, require_overlap: float | None, as_json: bool) -> None:
    """Compare the effects of a RUN with those of an OTHER one, or of the authors' TFRecord.

    By class and direction: rank correlation of all coordinates, overlap of the first K; then the largest differences of single effects.
    Exit code 1: --require-overlap was missed.
    """
    from stylexport.attfind.compare import compare

    found = compare(_effects(run), _effects(other), top=top)
    missed = require_overlap is not None and (found.least_overlap is None or found.least_overlap < require_overlap)
    if as_json:
        print_json({**found.to_json(), "require_overlap": require_overlap, "passed": not missed})
    else:
        _print(found)
        if missed:
            least = "there is none" if found.least_overlap is None else f"the least is {found.least_overlap:.0%}"
            say(f"an overlap of {require_overlap:.0%} is required, and {least}")
    sys.exit(1 if missed else 0)


def _effects(path: Path) -> Effects:
    """Of a run's folder, or of the authors' file."""
    if not path.exists():
        raise BadInput(f"{path}: is not there; name a run's folder, or the authors' TFRecord")
    if path.is_dir():
        from stylexport.attfind.effects.effects import Effects

        return Effects.load(path)
    from stylexport.attfind.authors import from_authors

    return from_authors(path)


def _print(found: Comparison) -> None:
    say(f"{'towards':12}{'direction':12}{'Spearman':>9}{'Kendall':>9}{f'first {found.top}':>10}  in both")
    for row in found.rows:
        numbers = "".join(f"{'-' if value is None else f'{value:.4f}':>9}" for value in (row.spearman, row.kendall))
        overlap = "-" if row.overlap is None else f"{row.overlap:.0%}"
        direction = "to minimum" if row.direction == 0 else "to maximum"
        say(f"{row.label:12}{direction:12}{numbers}{overlap:>10}  {', '.join(map(str, row.shared))}".rstrip())
    if found.differences == ():
        say("every single effect is the same in both")
    elif found.differences:
        say(f"largest difference {found.differences[0].size:.3g}, {found.relative:.2g} of the logits' spread; the largest are")
        for d in found.differences:
            place = f"image {d.image}, {'maximum' if d.direction else 'minimum'} of {d.coordinate}"
            where = f" ({d.layer}, channel {d.channel})" if d.layer else ""
            say(f"  {d.first:+.5f}  {d.second:+.5f}  {place}{where}, label {d.label}")
    for remark in found.remarks:
        say(f"note: {remark}")
