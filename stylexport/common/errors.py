"""The errors a user meets. Each says what was found, what was expected, in which file and tensor, and what to do.

The command line prints the message on one line and leaves with `exit_code`; programs catch the class they can act on.
"""

from __future__ import annotations

import errno
import os

# What the machine refuses, and what to do about it. The system names no file with some of these.
REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "name a place where you may read and write",
    errno.EPERM: "name a place where you may read and write",
    errno.EROFS: "name a place where you may write",
    errno.ENOSPC: "make room on the disk, or name another one",
    errno.EDQUOT: "make room on the disk, or name another one",
    errno.EFBIG: "name a disk that takes larger files",
    errno.EIO: "check the disk",
    errno.ENOMEM: "free memory, or take fewer samples at once",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs, too many files are open",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "check where its links lead",
    errno.EEXIST: "name another one",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "name a folder, not a file",
}


class StylexportError(Exception):
    """Base of every error whose cause is the input. Any other exception is a fault of StylExport's.

    Example:
        >>> from stylexport import StylexportError, inspect
        >>> try:
        ...     inspect("nowhere")
        ... except StylexportError as error:
        ...     print(error)
        nowhere: no such file or folder; check the path

    """

    exit_code = 2


class BadInput(StylexportError):
    """A file that is missing, of an unknown format, or not what the command needs."""


class DamagedFile(BadInput):
    """A file whose bytes contradict its format or its checksums."""

    def __init__(self, path: str | os.PathLike[str], found: str, remedy: str = "fetch or export the file again") -> None:
        super().__init__(f"{os.fspath(path)}: {found}; {remedy}")


class HostileFile(BadInput):
    """A file that would run code, leave its folder, or grow out of all proportion."""

    def __init__(self, path: str | os.PathLike[str], found: str, remedy: str = "do not use it") -> None:
        super().__init__(f"{os.fspath(path)}: {found}; {remedy}")


class MappingError(BadInput):
    """Variables that do not fit the rule table: missing, ambiguous, of another shape, or non-finite."""


class IncompleteCoverage(StylexportError):
    """Something in the source that nothing answers for."""

    exit_code = 3


def machine_refuses(error: BaseException) -> str | None:
    """What the machine refused and what to do, for an error that is neither the input's nor ours: a file, or memory. None for others."""
    if isinstance(error, OSError) and (error.filename is not None or error.errno in REMEDIES):
        name = error.filename
        place = "" if name is None else f"{os.fsdecode(name) if isinstance(name, bytes) else name}: "
        return f"{place}{error.strerror or error}; {REMEDIES.get(error.errno or 0, 'check the path')}"
    # Of torch's, neither the class for a GPU nor the RuntimeError for a CPU is a MemoryError; nor is TensorFlow's.
    named = type(error).__name__ in ("OutOfMemoryError", "ResourceExhaustedError") or "can't allocate memory" in str(error)
    if isinstance(error, MemoryError) or (named and isinstance(error, Exception)):
        what = f" ({str(error).splitlines()[0][:300]})" if str(error) else ""
        return f"the memory is not enough{what}; take fewer samples or images at once, or a machine with more memory"
    return None
