"""SHA-256 of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1 << 20  # bytes; hashing needs no more of a file in memory at a time


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "w.bin"
        >>> path.write_bytes(b"weights")
        7
        >>> sha256(path)[:16]
        '9a129038d9a00aed'

    """
    digest, buffer = hashlib.sha256(), bytearray(_CHUNK)  # Python 3.10 has no hashlib.file_digest
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(memoryview(buffer)[:size])
    return digest.hexdigest()


def sha256_each(path: Path, files: Iterable[str]) -> dict[str, str]:
    """File name -> SHA-256: of `path` itself, or where it is a folder of each of its `files` (names relative to it)."""
    if path.is_file():
        return {path.name: sha256(path)}
    return {name: sha256(path / name) for name in sorted(files) if (path / name).is_file()}
