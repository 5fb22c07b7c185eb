"""One HTTP transfer that can be cut at any byte and go on: the bytes in `NAME.part`, what they belong to in `NAME.part.json`.

A part goes on with `Range` and `If-Range` (RFC 9110, 13.1.5 and 14): the server sends the rest only if the file is still the one
whose ETag or Last-Modified was noted, and the whole file otherwise, so changed bytes are never spliced to old ones. urllib is
used because it does all of this and adds no dependency.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from stylexport.common.errors import BadInput, StylexportError

Progress = Callable[[int, "int | None"], None]  # bytes so far, bytes in all or None where the server does not say

CHUNK = 1 << 20
TIMEOUT = 30.0  # seconds without a byte
RETRIES = 5
BACKOFF = 1.0  # seconds before the first retry; doubled each time
_AGENT = "stylexport"
_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})
_HTML = re.compile(rb"\s*<(!doctype\s+html|html|head)\b", re.IGNORECASE)


class TransferError(StylexportError):
    """A file that could not be fetched: the line, the server, or the disk."""


class _Interrupted(Exception):
    """The line was cut; what came is kept."""


@dataclass(frozen=True)
class Source:
    """What a part belongs to: its address and the server's validators; `total` bytes, None where unknown."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    total: int | None = None


def transfer(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    backoff: float = BACKOFF,
) -> tuple[Path, Source]:
    """Fetches `url` into `target` + ".part", going on from what is there; the part is complete on return, not yet verified.

    `size`: the bytes that the file should have. Tries again `retries` times without progress, after `backoff` seconds doubled each
    time. Raises BadInput for an address that is wrong or a disk that refuses, TransferError for a line or server that fails.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise BadInput(f"{url}: no http(s) address; check the registry or the base address")
    part = target.with_name(f"{target.name}.part")
    failures, furthest = 0, _length(part)
    while True:
        try:
            return part, _attempt(url, part, size, progress, timeout)
        except _Interrupted as cut:
            failures = 0 if _length(part) > furthest else failures + 1
            furthest = max(furthest, _length(part))
            if failures > retries:
                raise TransferError(
                    f"{url}: the line was cut {failures} times without progress ({cut}); run the command again, it goes on from byte "
                    f"{_length(part)}"
                ) from None
            time.sleep(backoff * 2 ** max(0, failures - 1))
        except OSError as error:
            raise BadInput(f"{part}: cannot be written ({error.strerror or error}); make room or name another folder") from None


def discard(part: Path) -> None:
    """Removes a part and its note."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, size: int | None, progress: Progress | None, timeout: float) -> Source:
    """One request: the rest of the part, or the whole."""
    known = _read_note(part)
    start = _length(part) if known is not None and known.url == url else 0
    if known is not None and start and known.total == start:
        return known
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if start and known is not None and (validator := _validator(known)):
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    else:
        start = 0
    with _request(url, headers, timeout, part) as response:
        source, start = _accepted(url, response, known, start, size)
        with part.open("ab") as file:
            _lock(part, file)
            if start != file.seek(0, os.SEEK_END):
                file.truncate(0)  # before the note: a kill between them must not leave old bytes under a new note
                if start:
                    raise _Interrupted("the part changed while it was fetched")
            _write_note(part, source)
            _copy(url, response, file, source, start, progress)
            file.flush()
            os.fsync(file.fileno())
    return replace(source, total=_length(part))


def _request(url: str, headers: dict[str, str], timeout: float, part: Path) -> http.client.HTTPResponse:
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # our part is longer than the file now is
            discard(part)
            raise _Interrupted("the file has become shorter") from None
        if error.code in _RETRY:
            raise _Interrupted(f"the server answered {error.code} {error.reason}") from None
        remedy = "check the name and the base address" if error.code in (404, 410) else "check that you may read it"
        raise TransferError(f"{url}: the server answered {error.code} {error.reason}; {remedy}") from None
    except (http.client.InvalidURL, ValueError) as error:
        raise BadInput(f"{url}: no address ({error}); check the registry or the base address") from None
    except (OSError, http.client.HTTPException) as error:  # urllib's URLError is an OSError
        raise _Interrupted(str(getattr(error, "reason", "") or error) or type(error).__name__) from None


def _accepted(url: str, response: http.client.HTTPResponse, known: Source | None, start: int, size: int | None) -> tuple[Source, int]:
    """What the response belongs to, and the byte at which it begins. Raises TransferError for what is not the file."""
    head = response.headers
    if (encoding := head.get("Content-Encoding", "identity")) != "identity":
        raise TransferError(f"{url}: the server sends it encoded as {encoding}; fetch it by other means")
    length = head.get("Content-Length")
    announced = int(length) if length and length.isdecimal() else None
    total = announced
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", head.get("Content-Range", ""))
        if match is None or int(match[1]) != start or (announced is not None and int(match[2]) - start + 1 != announced):
            raise TransferError(
                f"{url}: asked for bytes from {start}, the server sends {head.get('Content-Range')!r}; delete the .part file to start over"
            )
        total = None if match[3] == "*" else int(match[3])
    elif response.status == 200:
        start = 0
    else:
        raise TransferError(f"{url}: the server answered {response.status} {response.reason}; try later")
    source = Source(url, head.get("ETag"), head.get("Last-Modified"), total)
    if start and known is not None and not _same_version(source, known):
        raise TransferError(f"{url}: the server sends the rest of another version; delete the .part file to start over")
    if start and known is not None:
        source = replace(source, etag=known.etag, last_modified=known.last_modified)
    if size is not None and total not in (None, size):
        raise TransferError(f"{url}: the server offers {total} bytes, the registry says {size}; the file has changed")
    return source, start


def _copy(url: str, response: http.client.HTTPResponse, file: BinaryIO, source: Source, start: int, progress: Progress | None) -> None:
    """The response's bytes into the file. Raises _Interrupted where they end early, TransferError where they are a web page."""
    at, first = start, b""
    while True:
        try:
            piece = response.read1(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(str(error) or type(error).__name__) from None
        if not piece:
            break
        if len(first) < 64 and not start:
            first = (first + piece)[:64]
            if _HTML.match(first):
                raise TransferError(f"{url}: the server sends a web page instead of the file; open the address in a browser to see why")
        file.write(piece)
        at += len(piece)
        if progress is not None:
            progress(at, source.total)
    if source.total is not None and at != source.total:
        raise _Interrupted(f"{at} of {source.total} bytes came")


def _same_version(source: Source, known: Source) -> bool:
    """Whether nothing that both tell differs."""
    totals = {source.total, known.total} - {None}
    return _validator(source) in (None, _validator(known)) and len(totals) < 2


def _lock(part: Path, file: BinaryIO) -> None:
    """Two runs that fetch one file would write holes into each other's part. Where the system has no flock, nothing is locked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadInput(f"{part}: another run is fetching this file; wait for it") from None


def _validator(source: Source) -> str | None:
    """What If-Range may carry: a strong ETag, else the date."""
    if source.etag and not source.etag.startswith("W/"):
        return source.etag
    return source.last_modified


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> Source | None:
    try:
        return Source(**json.loads(_note(part).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_note(part: Path, source: Source) -> None:
    _note(part).write_text(json.dumps(asdict(source)), "utf-8")
