"""`stylexport attfind show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.common.version import __version__
from stylexport.console import json_option, print_json, steps_progress, verbose_option

if TYPE_CHECKING:
    from stylexport.attfind.effects.load_run import Subject
    from stylexport.attfind.select.attributes import Selection
    from stylexport.attfind.show.show import Shown

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
    from stylexport.attfind.effects.load_run import reopen
    from stylexport.attfind.select.attributes import read_attributes
    from stylexport.attfind.select.goals import check
    from stylexport.attfind.show.show import show

    selection = read_attributes(run)
    subject = reopen(run, model, device)
    check(subject.effects, selection)
    folder = out if out is not None else run / "show"
    folder.mkdir(parents=True, exist_ok=True)
    attributes = selection.attributes[:top]
    with steps_progress() as progress:

        def shown() -> Iterator[Shown]:
            for number, attribute in enumerate(attributes):
                progress("attributes", number, len(attributes))
                yield show(subject, attribute, images=images, frames=frames, batch=batch, only=selection.image)
            progress("attributes", len(attributes), len(attributes))

        paths = _write(subject, list(shown()) if len(formats) > 1 else shown(), formats, folder, _about(subject, selection))
    if as_json:
        print_json({"attributes": len(attributes), "files": [str(path) for path in paths]})
    else:
        click.echo("\n".join(f"wrote {path}" for path in paths))


def _write(subject: Subject, shown: Iterable[Shown], formats: tuple[str, ...], folder: Path, about: list[tuple[str, str]]) -> list[Path]:
    from stylexport.attfind.show.gallery import write_animations, write_page, write_sheets

    paths = []
    if "html" in formats:
        paths.append(write_page(subject, shown, folder / "index.html", about))
    if "png" in formats:
        paths += write_sheets(subject, shown, folder)
    if "gif" in formats:
        paths += write_animations(subject, shown, folder)
    return paths


def _about(subject: Subject, selection: Selection) -> list[tuple[str, str]]:
    """What stands at the page's end."""
    about = subject.effects.about
    classifier = about.get("classifier") or {}
    rows = [
        ("model", about.get("model_path")),
        ("classifier", classifier.get("spec")),
        ("strategy", selection.strategy),
        *((name, f"{value} ({origin})") for name, (value, origin) in selection.parameters.items()),
        ("shift", f"{subject.shift:g} of the way to the minimum or maximum"),
        ("search", selection.search if isinstance(selection.search, str) else "screened"),
        *(("remark", remark) for remark in selection.remarks),
        ("made by", f"StylExport {__version__}"),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]
