"""Where an artefact's files lie: in a folder, memory-mapped, or in a zip, read in place.

Readers ask for a small file whole (`read`) or for a big one piece by piece, front to back (`pieces`), and need not know which it is.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.zips import SafeZip

Bytes = NDArray[np.uint8]
_CHUNK = 8 * 2**20


class Pieces(Protocol):
    """A big file whose pieces are taken in rising order."""

    size: int

    def take(self, offset: int, size: int) -> Bytes:
        """`size` bytes from `offset`, read-only. Offsets that rise are cheap; going back may start over."""
        ...

    def finish(self) -> None:
        """Read what is left, so that a checksum over the whole is verified. Raises DamagedFile."""
        ...


class Files(Protocol):
    """The files of one artefact, by name relative to its root."""

    path: Path

    @property
    def sizes(self) -> Mapping[str, int]:
        """Size in bytes of each file."""
        ...

    def read(self, name: str) -> bytes:
        """The whole of a small file. Raises BadInput where it is missing."""
        ...

    def pieces(self, name: str) -> Pieces:
        """A big file, to be taken in pieces."""
        ...

    def where(self, name: str) -> str:
        """How an error message names the file."""
        ...


class Folder:
    """A folder on disk; `names` limits it to some of its files (the three of a checkpoint among others)."""

    def __init__(self, path: Path, names: list[str] | None = None) -> None:
        self.path = path
        if names is None:
            names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if file.is_file()]
        self._sizes = {name: (path / name).stat().st_size for name in names}

    @property
    def sizes(self) -> Mapping[str, int]:
        """Size in bytes of each file."""
        return self._sizes

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        """The whole file."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadInput(f"{self.where(name)}: {error.strerror}; the artefact is incomplete: fetch it again") from error

    def pieces(self, name: str) -> Pieces:
        """The file, memory-mapped."""
        try:
            return _Mapped(self.path / name)
        except OSError as error:
            raise BadInput(f"{self.where(name)}: {error.strerror}; the artefact is incomplete: fetch it again") from error


class _Mapped:
    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        if self.size:
            with path.open("rb") as file:
                self._map: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            self._map = b""
        self._bytes = np.frombuffer(self._map, np.uint8)
        self._dropped = 0

    def take(self, offset: int, size: int) -> Bytes:
        self._drop(offset)
        return self._bytes[offset : offset + size]

    def _drop(self, end: int) -> None:
        """Let go of the pages before `end`: they count as this process's memory, and come back from the cache if asked for."""
        self._dropped = min(self._dropped, end)
        if end - self._dropped >= _CHUNK and hasattr(mmap, "MADV_DONTNEED"):
            start, end = (n // mmap.PAGESIZE * mmap.PAGESIZE for n in (self._dropped, end))
            self._map.madvise(mmap.MADV_DONTNEED, start, end - start)
            self._dropped = end

    def finish(self) -> None:
        """A file on disk has no checksum of its own."""


class Zipped:
    """A zip, read in place; `root` is the folder inside that holds the artefact ("" or ending in "/")."""

    def __init__(self, archive: SafeZip, root: str = "") -> None:
        self.path = archive.path
        self._zip, self._root = archive, root

    @property
    def sizes(self) -> Mapping[str, int]:
        """Size in bytes of each member under the root."""
        cut = len(self._root)
        return {name[cut:]: m.size for name, m in self._zip.members.items() if name.startswith(self._root)}

    def where(self, name: str) -> str:
        """The zip's path and the member's name."""
        return f"{self.path}!{self._root}{name}"

    def read(self, name: str) -> bytes:
        """The whole member, its CRC-32 verified."""
        if name not in self.sizes:
            raise BadInput(f"{self.where(name)}: no such member; the artefact is incomplete: fetch it again")
        return self._zip.read(self._root + name)

    def pieces(self, name: str) -> Pieces:
        """The member, decompressed as it is taken."""
        if name not in self.sizes:
            raise BadInput(f"{self.where(name)}: no such member; the artefact is incomplete: fetch it again")
        return _Streamed(self._zip, self._root + name)


class _Streamed:
    def __init__(self, archive: SafeZip, name: str) -> None:
        self.size = archive.members[name].size
        self._zip, self._name = archive, name
        self._restart()

    def _restart(self) -> None:
        self._stream = self._zip.stream(self._name)
        self._at = 0

    def take(self, offset: int, size: int) -> Bytes:
        if offset < self._at:
            self._restart()
        while self._at < offset:
            self._at += len(self._more(min(offset - self._at, _CHUNK)))
        data = self._more(size)
        self._at += size
        return np.frombuffer(data, np.uint8)

    def _more(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise DamagedFile(f"{self._zip.path}!{self._name}", f"ends {size - len(data)} bytes early")
        return data

    def finish(self) -> None:
        while self._stream.read(_CHUNK):
            pass
