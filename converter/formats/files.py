"""Where the files of a SavedModel or checkpoint lie: in a folder, memory-mapped, or in a zip, read in place.

Readers ask for a small file whole (`read`) or for a big one piece by piece, front to back (`pieces`), and need not know which it is.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.archive import CHUNK, ZIP_ERRORS, Archive
from stylexport.converter.formats.damage import damaged

Bytes = NDArray[np.uint8]
_KEPT_PAGES = 8 * 2**20  # bytes of a mapped file that stay in memory behind the place that is read
_INCOMPLETE = "the model is incomplete: fetch it again"


class Folder:
    """A folder on disk; `names` limits it to some of its files (the three of a checkpoint among others)."""

    def __init__(self, path: Path, names: list[str] | None = None) -> None:
        self.path = path
        if names is None:
            names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
        self.sizes: Mapping[str, int] = {name: (path / name).stat().st_size for name in names}

    def where(self, name: str) -> str:
        """How an error message names the file."""
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        """The whole file. Raises BadInput where it is missing."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadInput(f"{self.where(name)}: {error.strerror}; {_INCOMPLETE}") from error

    def pieces(self, name: str) -> MappedPieces:
        """The file, memory-mapped. Raises BadInput where it is missing."""
        try:
            return MappedPieces(self.path / name)
        except OSError as error:
            raise BadInput(f"{self.where(name)}: {error.strerror}; {_INCOMPLETE}") from error


class MappedPieces:
    """A file on disk, whose pieces are taken in rising order."""

    def __init__(self, path: Path) -> None:
        self._map: Any = b""
        if path.stat().st_size:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._dropped = 0

    def take(self, offset: int, size: int) -> Bytes:
        """`size` bytes from `offset`, read-only."""
        self._drop(offset)
        return self._bytes[offset : offset + size]

    def _drop(self, end: int) -> None:
        """Let go of the pages before `end`: they count as this process's memory, and come back from the cache if asked for."""
        self._dropped = min(self._dropped, end)
        if end - self._dropped >= _KEPT_PAGES and hasattr(mmap, "MADV_DONTNEED"):
            start, end = (n // mmap.PAGESIZE * mmap.PAGESIZE for n in (self._dropped, end))
            self._map.madvise(mmap.MADV_DONTNEED, start, end - start)
            self._dropped = end

    def finish(self) -> None:
        """A file on disk has no checksum of its own."""


class Zipped:
    """A folder in a zip, read in place; `root` is its name, "" or ending in "/"."""

    def __init__(self, archive: Archive, root: str = "") -> None:
        self.path = archive.path
        self._archive, self._root = archive, root
        self.sizes: Mapping[str, int] = {
            name[len(root) :]: info.file_size for name, info in archive.members.items() if name.startswith(root)
        }

    def where(self, name: str) -> str:
        """How an error message names the file."""
        return f"{self.path}!{self._root}{name}"

    def read(self, name: str) -> bytes:
        """The whole file, its CRC-32 verified. Raises BadInput where it is missing, DamagedFile."""
        self._check(name)
        return self._archive.read(self._root + name)

    def pieces(self, name: str) -> ZippedPieces:
        """The file, decompressed as it is taken. Raises BadInput where it is missing."""
        self._check(name)
        return ZippedPieces(self._archive, self._root + name)

    def _check(self, name: str) -> None:
        if name not in self.sizes:
            raise BadInput(f"{self.where(name)}: no such member; {_INCOMPLETE}")


class ZippedPieces:
    """A member of a zip, whose pieces are taken in rising order; going back starts over."""

    def __init__(self, archive: Archive, name: str) -> None:
        self._archive, self._name = archive, name
        self._restart()

    def _restart(self) -> None:
        self._stream = self._archive.open(self._name)
        self._at = 0

    def take(self, offset: int, size: int) -> Bytes:
        """`size` bytes from `offset`. Raises DamagedFile."""
        if offset < self._at:
            self._restart()
        while self._at < offset:
            self._fill(bytearray(min(offset - self._at, CHUNK)))
        data = np.empty(size, np.uint8)
        self._fill(data.data)
        data.flags.writeable = False
        return data

    def _fill(self, buffer: bytearray | memoryview) -> None:
        """Read into `buffer`, a chunk at a time: `zipfile` holds twice what it is asked for."""
        view, done = memoryview(buffer), 0
        while done < len(view):
            with damaged(self._archive.path, f"read member {self._name!r}", ZIP_ERRORS):
                piece = self._stream.read(min(len(view) - done, CHUNK))
            if not piece:
                raise DamagedFile(f"{self._archive.path}!{self._name}", f"ends {len(view) - done} bytes early")
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._at += done

    def finish(self) -> None:
        """Read what is left, so that the member's CRC-32 is verified. Raises DamagedFile."""
        with damaged(self._archive.path, f"read member {self._name!r}", ZIP_ERRORS):
            while self._stream.read(CHUNK):
                pass


Files = Folder | Zipped
Pieces = MappedPieces | ZippedPieces
