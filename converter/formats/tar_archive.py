"""Tar archives (`.tgz`, `.tar.gz`, `.tar.bz2`, `.tar.xz`, `.tar`), as TF-Slim and TF-Hub ship models: unpacked to be read, then gone.

A checkpoint is read in places, and a compressed tar only from front to back, so its regular files are unpacked into a folder of their
own among the system's temporary ones, which is removed when the last artefact of it is closed. Links, devices, names that leave
the folder, and an archive that expands out of proportion are refused; nothing else about a member (owner, mode, time) is taken over.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.converter.formats.damage import LARGE as SMALL
from stylexport.converter.formats.damage import MAX_RATIO, damaged, open_binary

LARGE = 4 * SMALL  # bytes; up to these any ratio is harmless
MOST_MEMBERS = 10_000
_BLOCK = 512
_CHUNK = 1 << 20
_LIVE: weakref.WeakSet[Unpacked] = weakref.WeakSet()
_COMPRESSIONS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
# What tarfile and the three compressions raise on damaged bytes.
_ERRORS = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError, OverflowError)


def looks_like_tar(path: Path) -> bool:
    """Whether the file, decompressed if need be, begins with the header of a tar member."""
    try:
        with _decompressed(path) as file:
            block = file.read(_BLOCK)
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (BadInput, *_ERRORS):
        return False
    return True


def shown(path: Path) -> Path:
    """How a user names a path: one inside an archive that was unpacked as `ARCHIVE/member`, any other as it is."""
    for unpacked in _LIVE:
        if path.is_relative_to(unpacked.folder):
            return unpacked.archive / path.relative_to(unpacked.folder)
    return path


class Unpacked:
    """The regular files of a tar, in `folder`, which is removed when this object is no longer used.

    Raises DamagedFile, HostileFile, or BadInput where the archive holds what is not unpacked.
    """

    def __init__(self, path: Path) -> None:
        place = tempfile.mkdtemp(prefix="stylexport-")
        self._remove = weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self.folder = Path(place) / path.name
        self.folder.mkdir()
        self.archive = path
        _LIVE.add(self)
        try:
            self._unpack(path)
        except BaseException:
            self.close()
            raise

    def _unpack(self, path: Path) -> None:
        with _decompressed(path) as stream:
            bounded = cast(IO[bytes], _Bounded(stream, path))
            with damaged(path, "be read as a tar archive", _ERRORS), tarfile.open(fileobj=bounded, mode="r|") as tar:
                for number, member in enumerate(tar):
                    if number >= MOST_MEMBERS:
                        raise HostileFile(path, f"holds more than {MOST_MEMBERS} members")
                    self._take(path, tar, member)
            with damaged(path, "be read as a tar archive", _ERRORS):
                while bounded.read(_CHUNK):  # to the end, where gzip's checksum is compared
                    pass

    def _take(self, path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = PurePosixPath(member.name)
        if member.isdir():
            return
        if name.is_absolute() or ".." in name.parts or not name.parts or "\\" in member.name or "\0" in member.name:
            raise HostileFile(path, f"its member {member.name!r} would lie outside of its folder")
        if not member.isreg() or member.issparse():
            raise HostileFile(
                path, f"its member {member.name!r} is a link, a device or a sparse file; unpack it yourself, and name the folder"
            )
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        assert source is not None, member
        with source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
        if target.stat().st_size != member.size:
            raise DamagedFile(path, f"ends inside its member {member.name!r}")

    def close(self) -> None:
        """Remove the folder now."""
        self._remove()


class _Bounded(io.RawIOBase):
    """A decompressed stream that refuses to give more than is in proportion to the file."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._left = max(LARGE, MAX_RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(min(size if size >= 0 else _CHUNK, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise HostileFile(self._path, f"expands more than {MAX_RATIO} to 1")
        return data


def _decompressed(path: Path) -> IO[bytes]:
    with open_binary(path) as file:
        head = file.read(6)
    opener = next((opener for magic, opener in _COMPRESSIONS.items() if head.startswith(magic)), None)
    return cast(IO[bytes], opener(path, "rb")) if opener else open_binary(path)
