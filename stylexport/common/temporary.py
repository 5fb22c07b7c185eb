"""Temporary folders that do not pile up: what a killed process left is removed by the next one that makes a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stylexport.common.errors import BadInput
from stylexport.common.locks import exclusive

_PREFIX = "stylexport-work-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in the system's place for such, which is removed when the block ends.

    Example:
        >>> with temporary_folder() as folder:
        ...     _ = (folder / "note.txt").write_text("for now")
        >>> folder.exists()
        False

    """
    _remove_leftovers()
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            with contextlib.suppress(FileNotFoundError, BadInput):  # another process took it for a leftover before it was locked
                stack.enter_context(exclusive(folder, "is taken"))
                break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Removes this user's folders whose process is gone, where the system can tell."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, BadInput):
            if hasattr(os, "getuid") and folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                with exclusive(folder, "is used") as locked:
                    if locked:  # else nobody knows whether its process is alive
                        shutil.rmtree(folder)
