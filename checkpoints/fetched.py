"""What was fetched before: `fetched.json` beside the files, so that a file without a published hash is at least never silently another."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from stylexport.common.errors import BadInput

RECORD = "fetched.json"


@dataclass(frozen=True)
class Seen:
    """A file as it once came: its address, size in bytes, SHA-256, and the server's ETag and Last-Modified, if any."""

    url: str
    size: int
    sha256: str
    etag: str | None = None
    last_modified: str | None = None


def read_seen(folder: Path) -> dict[str, Seen]:
    """File name -> Seen; empty where nothing was fetched. Raises BadInput where the record is damaged."""
    path = folder / RECORD
    try:
        return {name: Seen(**row) for name, row in json.loads(path.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{path}: the record of what was fetched cannot be read ({error}); delete it") from None


def add_seen(folder: Path, filename: str, seen: Seen) -> None:
    """Adds a file to the record; the record is replaced whole."""
    table = {name: asdict(row) for name, row in (read_seen(folder) | {filename: seen}).items()}
    part = folder / f".{RECORD}.part"
    part.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", "utf-8")
    os.replace(part, folder / RECORD)
