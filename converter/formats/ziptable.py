"""The table of a zip archive, checked before anything is read by it.

A zip (PKWARE APPNOTE.TXT 6.3) is read from its end: the end-of-central-directory record points to the central directory, which
holds one record a member: name, flags, method (0 stored, 8 deflated), CRC-32, both sizes, and the offset of the member's
local header. That header repeats the same facts before the member's bytes, unless flag bit 3 says that sizes and CRC follow the
bytes in a data descriptor. `zipfile` believes the central directory alone; here the two are held against each other, so that a
flipped bit in either is found. Members that share bytes are refused: that is how a small file expands without end.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from stylexport.common.errors import BadInput, DamagedFile, HostileFile

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

# Weights hardly shrink (about 1.1 to 1); an optimiser slot of zeros reaches deflate's own bound of 1032 to 1. So the ratio is
# asked only of archives that would become large.
MAX_RATIO = 100
LARGE = 256 << 20  # bytes, expanded
MAX_TOTAL = 32 << 30  # bytes, expanded
MAX_MEMBERS = 100_000
MAX_DESCRIPTOR = 24  # bytes that a data descriptor takes behind a member

# Flag bits (APPNOTE 4.4.4) that change how the member is read; the rest are hints to the compressor.
_ENCRYPTED, _DESCRIPTOR, _PATCHED, _UTF8 = 0x2041, 0x0008, 0x0020, 0x0800
_MEANING = _ENCRYPTED | _DESCRIPTOR | _PATCHED | _UTF8
_END = struct.Struct("<4s4H2LH")  # magic, disks, member counts, directory size and offset, comment length
_LOCAL = struct.Struct("<4s5H3L2H")  # magic, version, flags, method, time, date, crc, stored size, size, name and extra lengths


@dataclass(frozen=True)
class Member:
    """One file in the archive: its name, sizes in bytes, CRC-32, and where its stored bytes begin in the archive."""

    name: str
    size: int
    stored_size: int
    crc32: int
    method: int
    data_offset: int


def read_table(path: Path, file: BinaryIO) -> Mapping[str, Member]:
    """The members, folders left out, in the order of their bytes.

    Raises DamagedFile (headers), HostileFile (names, sizes) or BadInput (encrypted, or a method other than stored and deflate).
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError, OSError, MemoryError) as error:
        raise DamagedFile(path, f"is no readable zip archive ({error or type(error).__name__})") from None
    records = archive.infolist()
    _check_end(path, file, len(records))
    if len(records) > MAX_MEMBERS:
        raise HostileFile(path, f"holds {len(records)} members, more than {MAX_MEMBERS}")
    _check_sizes(path, records)
    members: dict[str, Member] = {}
    free_from = 0
    for record in sorted(records, key=lambda record: record.header_offset):
        name = _check_record(path, record)
        if name in members:
            raise HostileFile(path, f"holds two members named {name!r}")
        if record.header_offset < free_from:
            raise HostileFile(path, f"member {name!r} shares bytes with another member")
        if record.header_offset > free_from + MAX_DESCRIPTOR:
            raise DamagedFile(path, f"has bytes before member {name!r} that its table does not account for")
        start = _check_local_header(path, file, record)
        free_from = start + record.compress_size
        if free_from > archive.start_dir:
            raise DamagedFile(path, f"member {name!r} reaches past the archive's bytes")
        members[name] = Member(name, record.file_size, record.compress_size, record.CRC, record.compress_type, start)
    if archive.start_dir > free_from + MAX_DESCRIPTOR:
        raise DamagedFile(path, "has bytes behind its last member that its table does not account for")
    return MappingProxyType({name: member for name, member in members.items() if not name.endswith("/")})


def _check_end(path: Path, file: BinaryIO, count: int) -> None:
    """The end record must stand where its comment says, and count what the directory holds; `zipfile` overlooks both."""
    size = file.seek(0, 2)
    start = max(0, size - _END.size - 0xFFFF)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise DamagedFile(path, "has no end record")
    _, disk, first_disk, here, total, _, _, comment = _END.unpack_from(tail, at)
    if at + _END.size + comment != len(tail):
        raise DamagedFile(path, "its end record does not stand at its end")
    if (disk, first_disk) not in ((0, 0), (0xFFFF, 0xFFFF)) or here != total or total not in (count, 0xFFFF):
        raise DamagedFile(path, f"its end record counts {total} members, its directory {count}")


def _check_sizes(path: Path, records: list[zipfile.ZipInfo]) -> None:
    expanded = sum(record.file_size for record in records)
    stored = sum(record.compress_size for record in records)
    if expanded > MAX_TOTAL:
        raise HostileFile(path, f"would expand to {expanded} bytes, more than {MAX_TOTAL}")
    if expanded > LARGE and expanded > MAX_RATIO * stored:
        raise HostileFile(path, f"would expand from {stored} to {expanded} bytes, more than {MAX_RATIO} to 1")


def _check_record(path: Path, record: zipfile.ZipInfo) -> str:
    """The member's name, after all that its central record alone can say against it."""
    name = record.orig_filename
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(record.external_attr >> 16)
    if not name or name.startswith("/") or ".." in parts or "" in parts or "\\" in name or "\0" in name or name[1:2] == ":":
        raise HostileFile(path, f"member {name!r} would leave its folder")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise HostileFile(path, f"member {name!r} is a link or a device, not a file")
    if record.flag_bits & (_ENCRYPTED | _PATCHED):
        raise BadInput(f"{path}: member {name!r} is encrypted; decrypt the archive first")
    if record.compress_type not in (STORED, DEFLATED):
        raise BadInput(f"{path}: member {name!r} is compressed with method {record.compress_type}; repack it with deflate (8)")
    if record.compress_type == STORED and record.compress_size != record.file_size:
        raise DamagedFile(path, f"stored member {name!r} declares two sizes, {record.compress_size} and {record.file_size}")
    return name


def _check_local_header(path: Path, file: BinaryIO, record: zipfile.ZipInfo) -> int:
    """Offset of the member's bytes, after the local header has been found to say what the central record says."""
    name = record.orig_filename
    try:
        file.seek(record.header_offset)
        header = file.read(_LOCAL.size)
        magic, version, flags, method, time, date, crc, stored, size, name_length, extra_length = _LOCAL.unpack(header)
        local_name = file.read(name_length)
        extra = file.read(extra_length)
    except (struct.error, OSError, ValueError):
        raise DamagedFile(path, f"the local header of member {name!r} lies outside the file") from None
    sizes = {"size": size, "stored size": stored}
    if 0xFFFFFFFF in sizes.values():
        sizes |= _zip64(extra, [field for field in sizes if sizes[field] == 0xFFFFFFFF])
    declared = {"CRC-32": record.CRC, "size": record.file_size, "stored size": record.compress_size}
    found = {"CRC-32": crc, **sizes}
    checks = {
        "magic": magic == b"PK\x03\x04",
        "name": local_name == name.encode("utf-8" if record.flag_bits & _UTF8 else "cp437"),
        "flags": flags & _MEANING == record.flag_bits & _MEANING,
        "method": method == record.compress_type,
        "version": version & 0xFF == record.extract_version,
        "time": _moment(date, time) == record.date_time,
    }
    # With bit 3 the header was written before the sizes were known: zero, or the truth if the writer came back.
    checks |= {field: found[field] == declared[field] or bool(flags & _DESCRIPTOR and found[field] == 0) for field in declared}
    for field, agrees in checks.items():
        if not agrees:
            raise DamagedFile(path, f"member {name!r}: its local header and the central directory disagree about its {field}")
    return record.header_offset + _LOCAL.size + name_length + extra_length


def _moment(date: int, time: int) -> tuple[int, ...]:
    """An MS-DOS date and time as `zipfile` decodes the central record's (APPNOTE 4.4.6)."""
    return ((date >> 9) + 1980, date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2)


def _zip64(extra: bytes, fields: list[str]) -> dict[str, int]:
    """The 64-bit sizes of a local header's zip64 extra field (id 1), in the order in which the header left them out."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and 8 * len(fields) <= length <= len(extra) - at - 4:
            return dict(zip(fields, struct.unpack_from(f"<{len(fields)}Q", extra, at + 4), strict=True))
        at += 4 + length
    return {}
