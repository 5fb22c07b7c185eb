"""`stylexport fetch`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylexport.console import bytes_progress, human_bytes, json_option, print_json, say, verbose_option

if TYPE_CHECKING:
    from stylexport.checkpoints.registry import Entry

DEFAULT = "celeb_a_age"


@click.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), default=Path("released"), show_default=True, help="Folder to fill."
)
@click.option("--list", "listing", is_flag=True, help="List the registry and fetch nothing.")
@click.option("--base-url", metavar="URL", help="Fetch from a mirror: URL/FILE instead of each file's own address.")
@click.option("--registry", type=click.Path(path_type=Path), help="Another registry (JSON, as checkpoints/registry.json).")
@json_option
@verbose_option
def command(names: tuple[str, ...], folder: Path, listing: bool, base_url: str | None, registry: Path | None, as_json: bool) -> None:
    """Download released files by NAME, a release (celeb_a_age, the default) or one file of it (celeb_a_age/generator).

    A download that was cut continues where it stopped. Size and SHA-256 are verified; where none is known yet, what came is recorded in
    fetched.json beside the files and compared the next time.
    """
    from stylexport.checkpoints.fetch import fetch
    from stylexport.checkpoints.registry import REGISTRY, load_registry

    table = load_registry(registry or REGISTRY)
    if listing:
        _list(list(table.values()), as_json)
        return
    with bytes_progress() as bars:

        def progress(entry: Entry) -> Callable[[int, int | None], None]:
            return lambda done, total: bars(entry.filename, done, total)

        fetched = fetch(names or (DEFAULT,), folder, registry=table, base_url=base_url, progress=progress)
    if as_json:
        print_json(
            [
                {
                    "name": f.entry.name,
                    "path": str(f.path),
                    "bytes": f.size,
                    "sha256": f.sha256,
                    "how": f.how,
                    "verified": f.verified,
                    "licence": f.entry.licence,
                }
                for f in fetched
            ]
        )
        return
    for f in fetched:
        say(f"{f.how} {f.path} ({human_bytes(f.size)}), sha256 {f.sha256}; {f.verified}")
        say(f"  licence: {f.entry.licence}")


def _list(entries: list[Entry], as_json: bool) -> None:
    if as_json:
        print_json([vars(entry) for entry in entries])
        return
    for entry in entries:
        size = human_bytes(entry.size) if entry.size is not None else "size unknown"
        say(f"{entry.name}: {entry.what}")
        say(f"  {entry.url} ({size}); licence: {entry.licence}")
