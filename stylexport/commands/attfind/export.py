"""`stylexport attfind export`."""

from __future__ import annotations

from pathlib import Path

import click

from stylexport.console import say, verbose_option

_PATH = click.Path(path_type=Path)


@click.command("export")
@click.argument("run", type=_PATH)
@click.option("-o", "--output", "out", type=_PATH, required=True, metavar="FILE", help="The TFRecord to write.")
@verbose_option
def command(run: Path, out: Path) -> None:
    """Write the effects of a RUN as the authors' notebook opens them (their examples_1.tfrecord). Needs no TensorFlow."""
    from stylexport.attfind.authors import to_authors
    from stylexport.attfind.effects.effects import Effects

    to_authors(Effects.load(run), out)
    say(f"wrote {out}")
