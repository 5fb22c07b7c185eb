"""Fetches released files: resumed where they were cut, verified before they appear, never fetched twice.

A file appears under its name only when its size and SHA-256 are right. Where the registry knows no hash, the first fetch records
what it saw in `fetched.json` beside the files, and every later one must see the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stylexport.checkpoints.fetched import RECORD, Seen, add_seen, read_seen
from stylexport.checkpoints.registry import Entry, load_registry, select
from stylexport.checkpoints.transfer import BACKOFF, RETRIES, TIMEOUT, discard, transfer
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Progress

_CHUNK = 4 << 20


@dataclass(frozen=True)
class Fetched:
    """A file that is there and right. `how`: "fetched" or "kept". `verified`: by what it was known, in words."""

    entry: Entry
    path: Path
    size: int
    sha256: str
    how: str
    verified: str


def fetch(
    names: Iterable[str],
    folder: str | os.PathLike[str],
    *,
    registry: Mapping[str, Entry] | None = None,
    base_url: str | None = None,
    progress: Callable[[Entry], Progress | None] | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    backoff: float = BACKOFF,
) -> list[Fetched]:
    """Fetches the named files and releases into `folder`, in order; files that are there and right are kept.

    `base_url` replaces the address of every file's folder (a mirror). `progress` is asked, for each entry, for what to call with
    (bytes so far, bytes in all or None). Raises BadInput, DamagedFile or TransferError.
    """
    entries = select(names, load_registry() if registry is None else registry)
    if base_url is not None:
        entries = [replace(entry, url=f"{base_url.rstrip('/')}/{entry.filename}") for entry in entries]
    return [
        download(
            entry,
            folder,
            progress=None if progress is None else progress(entry),
            timeout=timeout,
            retries=retries,
            backoff=backoff,
        )
        for entry in entries
    ]


def download(
    entry: Entry,
    folder: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    backoff: float = BACKOFF,
) -> Fetched:
    """Fetches one file into `folder`, or finds it there. `timeout` in seconds without a byte; `backoff` in seconds.

    Raises BadInput where the address or the disk refuses, TransferError where the line or the server fails, DamagedFile where a
    file that is there, or that came, is not the one expected.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made ({error.strerror}); name another folder") from None
    target = folder / entry.filename
    expected, source = _expected(entry, read_seen(folder).get(entry.filename))
    if target.exists():
        size, sha256 = _measure(target)
        if why := _differs(size, sha256, expected):
            raise DamagedFile(target, f"{why} ({source})", "delete it and fetch again")
        if expected.sha256 is None:
            _record(target, Seen(entry.url, size, sha256))
        return Fetched(entry, target, size, sha256, "kept", source)
    part, came = transfer(entry.url, target, size=expected.size, progress=progress, timeout=timeout, retries=retries, backoff=backoff)
    size, sha256 = _measure(part)
    if why := _differs(size, sha256, expected):
        discard(part)
        raise DamagedFile(entry.url, f"what came {why} ({source})", f"fetch again; if it stays so, the file has changed: see {RECORD}")
    _record(target, Seen(entry.url, size, sha256, came.etag, came.last_modified), part)
    return Fetched(entry, target, size, sha256, "fetched", source)


def _record(target: Path, seen: Seen, part: Path | None = None) -> None:
    """Moves a verified part into place, and notes what the file is."""
    try:
        if part is not None:
            os.replace(part, target)
            discard(part)
        add_seen(target.parent, target.name, seen)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror}); make room or name another folder") from None


def _expected(entry: Entry, seen: Seen | None) -> tuple[Entry, str]:
    """The entry with the size and hash to hold a file against, and where they are from."""
    if entry.sha256 is not None:
        return entry, "size and sha256 of the registry" if entry.size is not None else "sha256 of the registry"
    if seen is not None:
        return replace(entry, size=seen.size, sha256=seen.sha256), f"size and sha256 recorded in {RECORD} at the first fetch"
    return entry, f"nothing: no sha256 is published; what came is recorded in {RECORD}"


def _measure(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_CHUNK):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); check the path") from None
    return size, digest.hexdigest()


def _differs(size: int, sha256: str, expected: Entry) -> str | None:
    if expected.size not in (None, size):
        return f"has {size} bytes, not {expected.size}"
    if expected.sha256 not in (None, sha256):
        return f"has sha256 {sha256}, not {expected.sha256}"
    return None
