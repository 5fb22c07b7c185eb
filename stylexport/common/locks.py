"""One program at a time in a folder: the system's lock on it, which ends with the process however that ends.

A system without such locks (Windows), or a network drive, keeps nobody off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stylexport.common.errors import BadInput

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = "stylexport-work-"
_held: set[int] = set()


def _leave_to_parent() -> None:
    """In a forked process: the locks are the parent's. A data loader's worker that outlives a killed parent must not hold them."""
    for handle in _held:
        os.close(handle)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextlib.contextmanager
def exclusive(folder: Path, busy: str, *, make: bool = False, wait: bool = False) -> Iterator[bool]:
    """Keeps other programs off `folder` while the block runs; `make` makes it, `wait` waits for another program's end.

    Yields whether the system has locks there. Raises BadInput, saying `busy`, where another program has it.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with exclusive(folder, "is busy"), exclusive(folder, "is busy"):
        ...     pass
        Traceback (most recent call last):
        ...
        stylexport.common.errors.BadInput: ...: is busy

    """
    handle = _acquire(folder, busy, make, wait)
    try:
        yield handle >= 0
    finally:
        if handle in _held:  # in a forked process it is not
            _held.discard(handle)
            os.close(handle)


def _acquire(folder: Path, busy: str, make: bool, wait: bool) -> int:
    """The handle of the locked folder; -1 where the system has no lock for it."""
    while True:
        new = make and not folder.is_dir()
        try:
            if make:
                folder.mkdir(exist_ok=True)
            if (handle := _lock(folder, busy, wait)) is not None:
                return handle
        except Exception:
            raise
        except BaseException:  # a signal; nobody else knows of the folder yet
            if new:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        if not folder.is_dir() and not make:  # its last owner moved or removed it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


def _lock(folder: Path, busy: str, wait: bool) -> int | None:
    """As `_acquire`, once; None where the folder lies elsewhere by the time that it is locked."""
    if fcntl is None:
        return -1
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if _is_at(handle, folder):
            _held.add(handle)
            return handle
    except BlockingIOError as error:
        raise BadInput(f"{folder}: {busy}") from error
    except OSError:  # a network drive without locks
        return -1
    finally:
        if handle not in _held:
            os.close(handle)
    return None


def _is_at(handle: int, folder: Path) -> bool:
    """Whether the open folder still lies at that path: the one whom we waited for may have put it elsewhere."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def claimed(folder: Path, busy: str = "another program is working in it; wait for it, or end it") -> Iterator[None]:
    """Makes `folder`, and keeps other programs off it while the block runs; after an error folders that were made and are empty go again.

    Raises BadInput where another program has it, or where it cannot be made.
    """
    with made(folder), exclusive(folder, busy):
        yield


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """Makes `folder`, and its parents; after an error those of them that are still empty are removed. Raises BadInput where it cannot.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with contextlib.suppress(ValueError), made(folder / "a" / "b"):
        ...     raise ValueError
        >>> list(folder.iterdir())
        []

    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder}: is a file; name a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made ({error.strerror or error}); name another folder, where you may write") from error
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # one that is no longer empty, and those above it, stay
            for path in new:
                path.rmdir()
        raise


@contextlib.contextmanager
def temporary_folder(place: Path | None = None) -> Iterator[Path]:
    """A folder in `place`, by default the system's for such, which is removed when the block ends; those of killed processes go with it.

    Example:
        >>> with temporary_folder() as folder:
        ...     _ = (folder / "note.txt").write_text("for now")
        >>> folder.exists()
        False

    """
    _remove_leftovers(Path(place or tempfile.gettempdir()))
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=place))
            with contextlib.suppress(FileNotFoundError, BadInput):  # another process took it for a leftover before it was locked
                stack.enter_context(exclusive(folder, "is taken"))
                break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(place: Path) -> None:
    """Removes this user's folders whose process is gone, where the system can tell."""
    for folder in place.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError, BadInput):
            if hasattr(os, "getuid") and folder.lstat().st_uid == os.getuid() and not folder.is_symlink():
                with exclusive(folder, "is used") as locked:
                    if locked:  # else nobody knows whether its process is alive
                        shutil.rmtree(folder)
