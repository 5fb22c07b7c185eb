"""One program at a time on a run's folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from stylexport.common.errors import BadInput


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keeps a second program off `folder` while the block runs. Raises BadInput where another program has it.

    The lock is the system's, on the folder, and ends with the process. A system without such locks, or a network drive, keeps nobody off.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BadInput(f"{folder}: another program is measuring this run; wait for it, or end it") from error
            except OSError:  # a network drive without locks
                pass
        yield
