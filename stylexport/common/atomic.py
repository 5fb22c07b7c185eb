"""Files and folders that appear whole or not at all: written under another name beside their place, and moved there at the end.

What is being written lies in a hidden folder that is its writer's alone (stylexport.common.locks): two programs never write one target
together, and what a killed one left there is removed by the next writer of the same target.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stylexport.common.errors import REMEDIES, BadInput
from stylexport.common.locks import exclusive, made

MARK = "stylex.json"
# In the folder that is added to: what is being written, and what is whole and is being put in place.
_PARTIAL, _READY = ".stylexport.partial", ".stylexport.ready"
_BUSY = "another program is writing it; wait for it, and run this again if it is still needed"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends well that file is synced and takes the place of `path`, else it is removed.

    It lies in a hidden folder beside `path`, with whatever else its writer leaves there. Raises BadInput where the file system refuses,
    or where another program is writing `path`.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with whole_file(target) as partial:
        ...     _ = partial.write_text("all of it")
        >>> target.read_text()
        'all of it'

    """
    try:
        with _own_folder(_beside(path), path) as stage:
            partial = stage / path.name
            yield partial
            _sync(partial)
            os.replace(partial, path)
    except OSError as error:
        raise _unwritable(error, path) from error


@contextlib.contextmanager
def whole_folder(target: Path, *, into: bool = False) -> Iterator[Path]:
    """A fresh folder; when the block ends well its entries replace those of `target`, else it is removed.

    A new `target` appears by one rename. One that is there may be a file system of its own, or the only place to write: the folder lies in
    it, and is renamed to a journal when it is whole; from then on the entries will be put in place, by this program or, where it is
    killed, by the next one that writes or reads `target` (`settle`). `into`: `target` is the caller's own, whatever it holds. Raises
    BadInput where `target` holds something else than a converted folder, or where another program is writing it.
    """
    try:
        while True:
            _check(target, into)
            settle(target)
            stage = target / _PARTIAL if target.is_dir() else _beside(target)
            with made(target.parent), _own_folder(stage, target):
                if (stage.parent == target) != target.is_dir():
                    continue  # another program has made it, or removed it, since
                yield stage
                with ThreadPoolExecutor(8) as pool:  # together, so that the file system commits them together
                    list(pool.map(_sync, [stage, *stage.rglob("*")]))
                if stage.parent == target:
                    _remove_leftover(_beside(target))
                    _check_places(stage, target)
                    to_the_end(lambda stage=stage: _commit(stage, target))  # type: ignore[misc]
                else:
                    os.replace(stage, target)
                _sync(target.parent)
                return
    except OSError as error:
        raise _unwritable(error, target) from error


def settle(target: Path) -> None:
    """Puts in place what a killed program had ready for the folder `target`; waits for one that is at it. Raises BadInput."""
    if not (target / _READY).is_dir():
        return
    try:
        with contextlib.suppress(FileNotFoundError), exclusive(target / _READY, _BUSY, wait=True):
            _put_in_place(target)
    except OSError as error:
        what = f"a program that wrote it was killed, and what it left cannot be put in place ({error.strerror or error})"
        raise BadInput(f"{target}: {what}; copy the folder to a place where you may write") from error


def _commit(stage: Path, target: Path) -> None:
    """From here on what is in `stage` will be in `target`."""
    if stage.is_dir():
        os.replace(stage, target / _READY)
    if (target / _READY).is_dir():
        _put_in_place(target)


def _put_in_place(target: Path) -> None:
    """Each file of the journal in turn, the mark last. None is away at any moment, and what is done twice does no harm."""
    ready = target / _READY
    for entry in sorted(ready.iterdir(), key=lambda path: path.name == MARK):
        _move(entry, target / entry.name)
    ready.rmdir()


def _check_places(stage: Path, target: Path) -> None:
    """Raises BadInput where a file stands in a folder's place, or a folder in a file's: once the journal is there it must go through."""
    for entry in stage.iterdir():
        place = target / entry.name
        if place.exists() and place.is_dir() != entry.is_dir():
            raise BadInput(f"{place}: is in the way of a {'folder' if entry.is_dir() else 'file'} of this name; move it elsewhere")
        if place.is_dir():
            _check_places(entry, place)


def _move(source: Path, place: Path) -> None:
    if not source.is_dir() or not place.is_dir():
        os.replace(source, place)
        return
    for entry in sorted(source.iterdir()):
        _move(entry, place / entry.name)
    source.rmdir()


def _check(target: Path, into: bool) -> None:
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target}: is a file; name a folder to write to")
    own = (_PARTIAL, _READY)
    if not into and target.is_dir() and any(entry.name not in own for entry in target.iterdir()) and not (target / MARK).is_file():
        raise BadInput(f"{target}: is not empty and holds no {MARK}; name a new folder, or a converted one to add to")


def _unwritable(error: OSError, path: Path) -> Exception:
    """What to raise for an error while `path` is written; the error itself where it names a file elsewhere, which was to be read."""
    if isinstance(error.filename, str | bytes) and path.parent.absolute() not in Path(os.fsdecode(error.filename)).absolute().parents:
        return error
    why, remedy = error.strerror or str(error), "make room, or name another folder"
    if number := error.errno or int((re.findall(r"errno = (\d+)", why) or [0])[0]):  # HDF5 tells the system's number in a long text
        why = os.strerror(number)
        remedy = remedy if number in (errno.ENOSPC, errno.EDQUOT) else REMEDIES.get(number, remedy)
    return BadInput(f"{path}: cannot be written ({why}); {remedy}")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


@contextlib.contextmanager
def _own_folder(stage: Path, target: Path) -> Iterator[Path]:
    """The folder `stage`, empty and this program's alone; it is removed when the block ends, unless it was moved elsewhere."""
    if stage.is_file():  # earlier versions wrote a file of this name
        stage.unlink()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive(stage, _BUSY, make=True))
        except BadInput as error:
            raise BadInput(f"{target}: {_BUSY}") from error
        own = stage.stat()
        try:
            clear(stage)
            yield stage
        finally:
            to_the_end(lambda: _remove(stage, own))


def _remove(stage: Path, own: os.stat_result) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(own, stage.stat()):  # else it was moved, and another program has begun one here
            shutil.rmtree(stage, ignore_errors=True)


def to_the_end(act: Callable[[], None]) -> None:
    """Does what is harmless to do twice; where a signal breaks into it, again, and then raises what the signal raised."""
    try:
        act()
    except Exception:
        raise
    except BaseException:
        act()
        raise


def _remove_leftover(stage: Path) -> None:
    """Removes what a killed program left beside a target that is there by now."""
    if stage.is_dir():
        with contextlib.suppress(BadInput, OSError), _own_folder(stage, stage):
            pass


def clear(folder: Path) -> None:
    """Removes what lies in `folder`."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
