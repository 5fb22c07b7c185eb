"""Zip archives from strangers: every member is checked before a byte of it is decompressed, and nothing is unpacked to disk.

`ziptable` describes the format and checks the table of members; here members are read: whole, from front to back, or at any
place. CRC-32 is always verified, and no member gives more bytes than it declares.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, cast

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.ziptable import DEFLATED, STORED, Member, read_table

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK = 4 << 20  # bytes read from the file at a time


def looks_like_zip(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as a zip does (a local header, or the end record of an empty archive)."""
    try:
        with open(path, "rb") as file:
            return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def open_zip(path: str | os.PathLike[str]) -> SafeZip:
    """Opens a zip and checks its table of members. Raises BadInput, DamagedFile (headers) or HostileFile (names, sizes)."""
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: cannot be opened ({error.strerror}); check the path") from None
    try:
        return SafeZip(path, file, read_table(path, file))
    except BaseException:
        file.close()
        raise


class SafeZip:
    """An archive whose table has been checked. `members`: name -> facts, in the order of their bytes, folders left out."""

    def __init__(self, path: Path, file: BinaryIO, members: Mapping[str, Member]) -> None:
        self.path = path
        self.members = members
        self._file = file
        self._identity = os.fstat(file.fileno())

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The member's bytes, CRC-32 verified. More than `limit` bytes is a HostileFile; damage is a DamagedFile."""
        member = self._member(name)
        if limit is not None and member.size > limit:
            raise HostileFile(self.path, f"member {name!r} has {member.size} bytes where at most {limit} make sense")
        with self.stream(name) as stream:
            return stream.read(member.size) if member.size else stream.read()

    def stream(self, name: str) -> io.BufferedReader:
        """The member from front to back, decompressed as it is read; the last read raises DamagedFile if the CRC-32 is wrong."""
        return io.BufferedReader(_MemberStream(self.path, self._reopen(), self._member(name)), 1 << 20)

    def seekable(self, name: str) -> BinaryIO:
        """The member as a file that can seek, CRC-32 verified now: a window on the archive if stored, else held in memory."""
        member = self._member(name)
        if member.method != STORED:
            return io.BytesIO(self.read(name))
        with self.stream(name) as stream:
            while stream.read(CHUNK):
                pass
        return cast(BinaryIO, io.BufferedReader(_Window(self._reopen(), member.data_offset, member.size), 1 << 16))

    def close(self) -> None:
        """Closes the archive. Streams that were opened from it go on working."""
        self._file.close()

    def __enter__(self) -> SafeZip:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _member(self, name: str) -> Member:
        try:
            return self.members[name]
        except KeyError:
            raise BadInput(f"{self.path}: holds no member {name!r}; it holds {', '.join(list(self.members)[:8])}") from None

    def _reopen(self) -> BinaryIO:
        """A handle of its own for each stream, so that streams do not move each other."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be opened again ({error.strerror}); do not move it while it is read") from None
        now = os.fstat(file.fileno())
        if not os.path.samestat(now, self._identity) or now.st_size != self._identity.st_size:
            file.close()
            raise BadInput(f"{self.path}: was replaced by another file while it was read; start again")
        return file


class _MemberStream(io.RawIOBase):
    """Decompresses one member; never gives out more than the declared bytes; checks end and CRC-32 with the last of them."""

    def __init__(self, path: Path, file: BinaryIO, member: Member) -> None:
        self._path, self._file, self._facts = path, file, member
        file.seek(member.data_offset)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == DEFLATED else None
        self._pending = b""
        self._unread = member.stored_size
        self._left = member.size
        self._crc = 0
        self._done = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        piece = self._next(min(len(view), self._left)) if self._left else b""
        view[: len(piece)] = piece
        self._crc = zlib.crc32(piece, self._crc)
        self._left -= len(piece)
        if not self._left and not self._done:
            self._finish()
        return len(piece)

    def _next(self, wanted: int) -> bytes:
        if self._inflate is None:
            piece = self._raw(wanted)
            if not piece:
                raise self._damaged("ends early")
            return piece
        while True:
            stored = self._pending or self._raw(CHUNK)
            try:
                piece = self._inflate.decompress(stored, wanted)
            except zlib.error as error:
                raise self._damaged(f"cannot be decompressed ({error})") from None
            self._pending = self._inflate.unconsumed_tail
            if piece:
                return piece
            if self._inflate.eof or not stored:
                raise self._damaged(f"ends {self._left} bytes before its declared size of {self._facts.size}")

    def _raw(self, wanted: int) -> bytes:
        try:
            piece = self._file.read(min(wanted, self._unread))
        except OSError as error:
            raise self._damaged(f"cannot be read ({error.strerror})") from None
        self._unread -= len(piece)
        return piece

    def _finish(self) -> None:
        self._done = True
        while self._inflate is not None and not self._inflate.eof:
            stored = self._pending or self._raw(CHUNK)
            try:
                surplus = self._inflate.decompress(stored, 1)
            except zlib.error as error:
                raise self._damaged(f"cannot be decompressed ({error})") from None
            self._pending = self._inflate.unconsumed_tail
            if surplus:
                raise HostileFile(self._path, f"member {self._facts.name!r} expands past its declared {self._facts.size} bytes")
            if not stored:
                raise self._damaged("has no end of its compressed bytes")
        if self._unread or self._pending or (self._inflate is not None and self._inflate.unused_data):
            raise self._damaged("has bytes behind the end of its contents")
        if self._crc != self._facts.crc32:
            raise self._damaged(f"has CRC-32 {self._crc:08x} where the archive declares {self._facts.crc32:08x}")

    def _damaged(self, what: str) -> DamagedFile:
        return DamagedFile(self._path, f"member {self._facts.name!r} {what}")


class _Window(io.RawIOBase):
    """A range of a file as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._at))
        self._file.seek(self._start + self._at)
        piece = self._file.read(wanted)
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()
