"""Zip archives, read in place by `zipfile`; nothing is unpacked to disk.

`zipfile` verifies the CRC-32 of a member when its last byte is read. What is added here: an archive that would expand out of
proportion is refused before a byte is decompressed, and so is a member that is shorter than it declares.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.damage import begins_with, damaged, open_binary

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# What zipfile and zlib raise on damaged bytes.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, OverflowError, struct.error, ValueError)
# Weights hardly shrink (about 1.1 to 1); an optimiser slot of zeros reaches deflate's own bound of 1032 to 1. So the ratio is
# asked only of archives that would become large.
MAX_RATIO = 100
LARGE = 256 << 20  # bytes, expanded
CHUNK = 1 << 20  # bytes decompressed at a time
_ENCRYPTED = 0x2041  # flag bits (PKWARE APPNOTE.TXT 4.4.4)


def looks_like_zip(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins as a zip does (a local header, or the end record of an empty archive)."""
    return begins_with(path, b"PK\x03\x04", b"PK\x05\x06")


class Archive:
    """An opened zip. `members`: name -> what the archive says of it, in the order of their bytes, folders left out.

    Opening raises BadInput (no such file, encrypted, another compression than deflate), DamagedFile, or HostileFile (its size).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = open_binary(path)
        try:
            with damaged(path, "be read as a zip archive", ZIP_ERRORS):
                self._zip = zipfile.ZipFile(file)
            records = sorted(
                (info for info in self._zip.infolist() if not info.filename.endswith("/")), key=lambda info: info.header_offset
            )
            self.members: Mapping[str, zipfile.ZipInfo] = {info.filename: info for info in records}
            self._check(records)
        except BaseException:
            file.close()
            raise
        self._file = file

    def _check(self, records: list[zipfile.ZipInfo]) -> None:
        if len(self.members) < len(records):
            raise DamagedFile(self.path, "holds two members of one name")
        for info in records:
            if info.flag_bits & _ENCRYPTED:
                raise BadInput(f"{self.path}: member {info.filename!r} is encrypted; decrypt the archive first")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                method = info.compress_type
                raise BadInput(f"{self.path}: member {info.filename!r} is compressed with method {method}; repack it with deflate (8)")
        expanded, stored = sum(info.file_size for info in records), sum(info.compress_size for info in records)
        if expanded > LARGE and expanded > MAX_RATIO * stored:
            raise HostileFile(self.path, f"would expand from {stored} to {expanded} bytes, more than {MAX_RATIO} to 1")

    def open(self, name: str) -> IO[bytes]:
        """The member from front to back, decompressed as it is read. Reading raises ZIP_ERRORS where it is damaged."""
        with damaged(self.path, f"read member {name!r}", ZIP_ERRORS):
            return self._zip.open(self.members[name])

    def read(self, name: str) -> bytes:
        """The whole member, its CRC-32 verified. Raises DamagedFile."""
        with self.open(name) as stream, damaged(self.path, f"read member {name!r}", ZIP_ERRORS):
            data = stream.read()
        if len(data) != self.members[name].file_size:
            raise DamagedFile(self.path, f"member {name!r} has {len(data)} bytes, not the declared {self.members[name].file_size}")
        return data

    def seekable(self, name: str) -> BinaryIO:
        """The member as a file that can seek, its CRC-32 verified now: a window on the archive if stored, else held in memory."""
        info = self.members[name]
        if info.compress_type != zipfile.ZIP_STORED:
            return io.BytesIO(self.read(name))
        with self.open(name) as stream, damaged(self.path, f"read member {name!r}", ZIP_ERRORS):
            while stream.read(CHUNK):
                pass
        file = open_binary(self.path)
        file.seek(info.header_offset + 26)  # the local header's 30 bytes end with the lengths of name and extra field
        start = info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
        return cast(BinaryIO, io.BufferedReader(_Window(file, start, info.file_size)))

    def close(self) -> None:
        """Closes the archive."""
        self._zip.close()
        self._file.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Window(io.RawIOBase):
    """A range of a file as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._at)]
        self._file.seek(self._start + self._at)
        size = self._file.readinto(view)  # type: ignore[attr-defined]
        self._at += size
        return int(size)

    def close(self) -> None:
        self._file.close()
        super().close()
