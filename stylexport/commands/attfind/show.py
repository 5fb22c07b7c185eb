"""`stylexport attfind show`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from stylexport.console import json_option, print_json, say, steps_progress, verbose_option

_PATH = click.Path(path_type=Path)
FORMATS = ("html", "png", "gif")


@click.command("show")
@click.argument("run", type=_PATH)
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    default=("html",),
    show_default=True,
    help="A page; a contact sheet an attribute; an animation an attribute. May be given several times.",
)
@click.option("--top", type=click.IntRange(min=1), metavar="K", help="Only the first K attributes; by default all that are selected.")
@click.option("--images", type=click.IntRange(min=1), default=6, show_default=True, metavar="N", help="Images an attribute.")
@click.option("--frames", type=click.IntRange(min=2), default=7, show_default=True, help="Pictures in a sweep of a coordinate.")
@click.option("--model", type=_PATH, metavar="DIR", help="The converted folder; by default the one that the run names.")
@click.option("-o", "--output", "out", type=_PATH, metavar="DIR", help="Folder to write; by default RUN/show.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True, help="How many images are made at once.")
@json_option
@verbose_option
def command(
    run: Path,
    formats: tuple[str, ...],
    top: int | None,
    images: int,
    frames: int,
    model: Path | None,
    out: Path | None,
    device: str,
    batch: int,
    as_json: bool,
) -> None:
    """Show the selected attributes of a RUN where they work best.

    Writes RUN/show/index.html, one page with everything in it that can be sent to a colleague; or attribute-01.png, attribute-01.gif ...
    """
    from stylexport.attfind.api import AttFind
    from stylexport.attfind.select.attributes import read_attributes

    options: dict[str, Any] = {"formats": formats, "out": out, "top": top, "images": images, "frames": frames, "batch": batch}
    selection = read_attributes(run)
    with steps_progress() as progress:
        paths = AttFind(model, device=device).render(run, selection, progress=progress, **options)
    if as_json:
        print_json({"attributes": len(selection.attributes[:top]), "files": [str(path) for path in paths]})
    else:
        for path in paths:
            say(f"wrote {path}")
