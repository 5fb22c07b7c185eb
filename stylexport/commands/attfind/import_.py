"""`stylexport attfind import`."""

from __future__ import annotations

from pathlib import Path

import click

from stylexport.console import json_option, print_json, say, verbose_option

_PATH = click.Path(path_type=Path)


@click.command("import")
@click.argument("file", type=_PATH)
@click.option("-o", "--output", "out", type=_PATH, required=True, metavar="RUN", help="Folder of the run, new.")
@click.option("--model", type=_PATH, metavar="DIR", help="The converted folder: styles, layers and label names come from it.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@json_option
@verbose_option
def command(file: Path, out: Path, model: Path | None, device: str, as_json: bool) -> None:
    """Open the authors' effects, FILE (their examples_1.tfrecord), as a run. Needs no TensorFlow.

    The file holds no styles, which `select` does not need; `show` and `evaluate` compute them from the model.
    """
    from stylexport.attfind.authors import from_authors, write_run

    found = from_authors(file, model, device)
    path = write_run(out, found)
    images, _, size, labels = found.effects.shape
    if as_json:
        print_json(
            {"effects": str(path), "images": images, "coordinates": size, "labels": list(found.labels), "styles": bool(found.styles.size)}
        )
        return
    say(f"{images} images, {size:,} coordinates, {labels} labels")
    say(f"wrote {path}")
