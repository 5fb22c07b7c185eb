"""Downloads released files: checked before they appear, never downloaded twice, continued where a connection was cut.

A file appears under its name only when its size and SHA-256 are right; until then it grows as `.NAME.part`. Where the registry knows no
SHA-256, the first download records what came in `fetched.json` beside the files, and every later one must see the same.

A part carries the server's Last-Modified as its own time. It is continued by `Range` and `If-Range` (RFC 9110, 13.1.5 and 14), so that
the server sends the whole file where it has another version by now.

Why not the package pooch (1.9.0 was measured): it begins a cut file again. On a connection cut once at 90 % of 30 MB it downloaded
57 MB, this module 30; where every connection is cut there, pooch never ends. It also adds six packages to the base install.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

from stylexport.checkpoints.registry import Entry, load_registry, select
from stylexport.common.digests import sha256 as file_sha256
from stylexport.common.errors import BadInput, DamagedFile, StylexportError
from stylexport.common.json_files import read_json, write_json
from stylexport.common.locks import made

RECORD = "fetched.json"
CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
RETRIES = 5
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head)\b", re.IGNORECASE)

BytesProgress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all or None where the server does not say


class TransferError(StylexportError):
    """A file that could not be downloaded: the connection or the server failed."""


@dataclass(frozen=True)
class Fetched:
    """A file that is there and right. `how`: "fetched" or "kept". `verified`: against what it was checked, in words."""

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
    progress: Callable[[Entry], BytesProgress | None] | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    backoff: float = 1.0,
) -> list[Fetched]:
    """Downloads the named files and releases into `folder`, in order; files that are there and right are kept.

    `registry` is by default the one in this package. `base_url` replaces the address of every file's folder (a mirror). `progress` is
    asked, for each entry, for what to call with (bytes so far, bytes in all or None). `timeout` is in seconds without a byte; after a
    cut the next try waits `backoff` seconds, doubled each time that nothing came, at most `retries` times.

    Raises BadInput where a name, an address or the disk refuses, TransferError where the connection or the server fails, DamagedFile
    where a file that is there, or that came, is not the expected one.

    Example (the file is there already, so nothing is downloaded):
        >>> import hashlib, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "w.pkl").write_bytes(b"w")
        >>> digest = hashlib.sha256(b"w").hexdigest()
        >>> registry = {"mine/w": Entry("mine/w", "https://example.org/w.pkl", 1, digest, "latents", "CC0")}
        >>> [(file.path.name, file.how, file.verified) for file in fetch(["mine"], folder, registry=registry)]
        [('w.pkl', 'kept', 'size and sha256 of the registry')]

    """
    entries = select(names, load_registry() if registry is None else registry)
    if base_url is not None:
        entries = [replace(entry, url=f"{base_url.rstrip('/')}/{entry.filename}") for entry in entries]
    folder = Path(folder)
    with made(folder):
        return [_fetch_one(entry, folder, progress and progress(entry), timeout, retries, backoff) for entry in entries]


def _fetch_one(entry: Entry, folder: Path, progress: BytesProgress | None, timeout: float, retries: int, backoff: float) -> Fetched:
    target, record = folder / entry.filename, _read_record(folder)
    expected, verified = _expected(entry, record.get(entry.filename, {}))
    try:
        if kept := target.exists():
            size, sha256 = _measure(target, expected, str(target), verified)
        else:
            part = target.with_name(f".{target.name}.part")
            try:
                _download(entry.url, part, expected.size, progress, timeout, retries, backoff)
                size, sha256 = _measure(part, expected, entry.url, verified)
            except DamagedFile:
                part.unlink()
                raise
            finally:
                if part.exists() and not part.stat().st_size:
                    part.unlink()
            os.replace(part, target)
        if not kept or expected.sha256 is None:
            write_json(folder / RECORD, {**record, entry.filename: {"url": entry.url, "size": size, "sha256": sha256}})
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror or error}); make room or name another folder") from None
    return Fetched(entry, target, size, sha256, "kept" if kept else "fetched", verified)


def _read_record(folder: Path) -> dict[str, dict[str, object]]:
    """File name -> its size and sha256 when it was first downloaded."""
    path = folder / RECORD
    record = read_json(path, "delete it") if path.exists() else {}
    if not all(isinstance(row, dict) and {"size", "sha256"} <= row.keys() for row in record.values()):
        raise DamagedFile(path, "does not record the size and sha256 of files", "delete it")
    return record


def _expected(entry: Entry, seen: Mapping[str, object]) -> tuple[Entry, str]:
    """The entry with the size and SHA-256 to check a file against, and where they are from."""
    if entry.sha256 is not None:
        return entry, "size and sha256 of the registry" if entry.size is not None else "sha256 of the registry"
    if seen:
        known = replace(entry, size=seen["size"], sha256=seen["sha256"])  # type: ignore[arg-type]
        return known, f"size and sha256 recorded in {RECORD} at the first fetch"
    return entry, f"nothing: no sha256 is published; what came is recorded in {RECORD}"


def _measure(path: Path, expected: Entry, what: str, verified: str) -> tuple[int, str]:
    """Size in bytes and SHA-256 of a file. Raises DamagedFile, saying of `what`, where they are not the expected ones."""
    size, sha256 = path.stat().st_size, file_sha256(path)
    remedy = f"delete it and fetch again; if it stays so, the file has changed: see {RECORD}"
    if expected.size not in (None, size):
        raise DamagedFile(what, f"has {size} bytes, not {expected.size} ({verified})", remedy)
    if expected.sha256 not in (None, sha256):
        raise DamagedFile(what, f"has sha256 {sha256}, not {expected.sha256} ({verified})", remedy)
    return size, sha256


def _download(url: str, part: Path, size: int | None, progress: BytesProgress | None, timeout: float, retries: int, backoff: float) -> None:
    """Completes `part` with the bytes of `url`, in as many requests as it takes."""
    if not url.lower().startswith(("http://", "https://")):
        raise BadInput(f"{url}: not an http(s) address; check the registry or the base address")
    failures, furthest = 0, 0
    with part.open("ab") as file:
        with contextlib.suppress(ImportError):  # no fcntl on Windows: two runs on one part are not kept apart there
            import fcntl

            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(f"{part}: another run is downloading this file; wait for it") from None
        while True:
            try:
                return _receive(url, file, size, progress, timeout)
            except urllib.error.HTTPError as error:
                error.close()
                cut = f"the server answered {error.code} {error.reason}"
                if error.code == 416:  # the part is as long as the file now is, or longer
                    _empty(file)
                elif error.code not in _BUSY:
                    remedy = "check the name and the base address" if error.code in (404, 410) else "check that you may read it"
                    raise TransferError(f"{url}: {cut}; {remedy}") from None
            except (http.client.InvalidURL, ValueError) as error:
                raise BadInput(f"{url}: not an address ({error}); check the registry or the base address") from None
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                cut = str(getattr(error, "reason", "") or error) or type(error).__name__
            failures = 0 if file.tell() > furthest else failures + 1
            furthest = max(furthest, file.tell())
            if failures > retries:
                how = f"the connection was cut {failures} times without progress ({cut})"
                raise TransferError(f"{url}: {how}; run the command again, it continues after {furthest} bytes")
            time.sleep(backoff * 2 ** max(0, failures - 1))


def _receive(url: str, file: BinaryIO, size: int | None, progress: BytesProgress | None, timeout: float) -> None:
    """One request: the rest of the file, or all of it where the server has another version than the part's.

    Raises ConnectionError where the bytes end early; what came is kept.
    """
    start, stamp = file.tell(), int(os.fstat(file.fileno()).st_mtime)
    headers = {"User-Agent": "stylexport", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": formatdate(stamp, usegmt=True)}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as response:
        modified = _seconds(response.headers.get("Last-Modified"))
        rest = response.status == 206 and modified == stamp and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if not rest:
            start = _empty(file)
        if response.status == 206 and not rest:
            raise ConnectionError("the server sent the rest of another version")
        total = None if response.length is None else start + response.length
        if size is not None and total not in (None, size):
            raise TransferError(f"{url}: the server offers {total} bytes, the registry says {size}; the file has changed")
        try:
            while piece := response.read1(CHUNK):
                if not file.tell() and _HTML.match(piece):
                    raise TransferError(f"{url}: the server sends a web page instead of the file; open the address in a browser to see why")
                file.write(piece)
                if progress is not None:
                    progress(file.tell(), total)
        finally:
            file.flush()
            if modified is not None:
                os.utime(file.name, (modified, modified))
        if total is not None and file.tell() != total:
            raise ConnectionError(f"{file.tell()} of {total} bytes came")
        os.fsync(file.fileno())


def _empty(file: BinaryIO) -> int:
    """Begins the part again, at byte 0."""
    file.seek(0)
    return file.truncate()


def _seconds(date: str | None) -> int | None:
    """An HTTP date in seconds since 1970; None where there is none."""
    with contextlib.suppress(TypeError, ValueError):
        return int(parsedate_to_datetime(date).timestamp())  # type: ignore[arg-type]
    return None
