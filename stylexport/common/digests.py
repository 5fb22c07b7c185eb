"""SHA-256 of source files, computed beside everything else.

Hashing runs outside Python's lock and needs no library, so it may begin before the readers are imported (`Digests(paths)` starts on
what lies at `paths`); whoever needs a digest waits for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

# Bytes hashed between two looks at Python's lock: each look waits for whoever holds it.
_WINDOW = 16 * 2**20


class Digests:
    """Digests by file. Leaving the `with` block gives up those that nobody waits for."""

    def __init__(self, paths: Iterable[str | Path] = ()) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._started: dict[Path, Future[str]] = {}
        self._given_up = False
        for path in map(Path, paths):
            with contextlib.suppress(OSError):  # what cannot be read is told by the reader that needs it
                for file in _likely(path):
                    self._start(file)

    def _start(self, path: Path) -> Future[str]:
        if path not in self._started:
            self._started[path] = self._pool.submit(sha256, path, lambda: self._given_up)
        return self._started[path]

    def of(self, path: Path, files: Iterable[str]) -> Mapping[str, str]:
        """File name -> digest: of `path` itself, or where it is a folder of each of its `files` (names relative to it)."""
        if path.is_file():
            return {path.name: self._start(path).result()}
        started = {name: self._start(path / name) for name in sorted(files) if (path / name).is_file()}
        return {name: digest.result() for name, digest in started.items()}

    def __enter__(self) -> Digests:
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up = True
        self._pool.shutdown(wait=True, cancel_futures=True)


def _likely(path: Path) -> Iterator[Path]:
    """The files at `path` that a conversion will surely ask for: a file, or the SavedModels of a folder, zipped or not."""
    if path.is_file():
        yield path
    elif (path / "saved_model.pb").is_file():
        yield from (file for file in sorted(path.rglob("*")) if file.is_file())
    elif path.is_dir():
        for entry in sorted(path.iterdir()):
            if entry.suffix == ".zip" or (entry / "saved_model.pb").is_file():
                yield from _likely(entry)


def sha256(path: Path, given_up: Callable[[], bool] = lambda: False) -> str:
    """SHA-256 of a file, in hexadecimal; cut short, and worth nothing, once `given_up` says so."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return digest.hexdigest()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            for start in range(0, size, _WINDOW):
                if given_up():
                    break
                digest.update(view[start : start + _WINDOW])
                if hasattr(mmap, "MADV_DONTNEED"):  # mapped pages count as this process's memory
                    mapped.madvise(mmap.MADV_DONTNEED, start, min(_WINDOW, size - start))
    return digest.hexdigest()
