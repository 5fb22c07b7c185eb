"""Files and folders that appear whole or not at all: written under another name beside their place, and moved there at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stylexport.common.errors import BadInput

MARK = "stylex.json"
_PARTIAL = ".stylexport.partial"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; when the block ends well the file is synced and takes the place of `path`, else it is removed.

    What a killed run left under that name is overwritten by the next. Raises BadInput where the file system refuses.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with whole_file(target) as partial:
        ...     _ = partial.write_text("all of it")
        >>> target.read_text()
        'all of it'

    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror or error}); make room, or name another folder") from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A fresh folder; when the block ends well its entries replace those of `target`, else it is removed.

    It lies beside a `target` that is not there yet, and in one that is, which may be a file system of its own or the only place to write.
    What a killed run left behind is removed by the next. Raises BadInput where `target` holds something else than a converted folder.
    """
    if target.exists() and not target.is_dir():
        raise BadInput(f"{target}: is a file; name a folder to write to")
    if target.is_dir() and any(entry.name != _PARTIAL for entry in target.iterdir()) and not (target / MARK).is_file():
        raise BadInput(f"{target}: is not empty and holds no {MARK}; name a new folder, or a converted one to add to")
    stage = target / _PARTIAL if target.is_dir() else target.parent / f".{target.name}.partial"
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
    except OSError as error:
        raise BadInput(f"{stage}: cannot be written ({error.strerror}); name a folder where you may write") from error
    try:
        yield stage
        with ThreadPoolExecutor(8) as pool:  # together, so that the file system commits them together
            list(pool.map(_sync, [stage, *stage.rglob("*")]))
        if target.is_dir():
            _move_into(stage, target)
        else:
            os.replace(stage, target)
        _sync(target.parent)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written ({error.strerror}); make room, or name another folder") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move_into(stage: Path, target: Path) -> None:
    """Each entry in turn, the mark last: what an interrupted folder holds is whole, though the mark may name what is being replaced."""
    for entry in sorted(stage.iterdir(), key=lambda path: path.name == MARK):
        place = target / entry.name
        if entry.is_dir() and place.exists():
            old = stage.parent / f"{stage.name}.old"
            shutil.rmtree(old, ignore_errors=True)
            os.replace(place, old)
            os.replace(entry, place)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(entry, place)


def _sync(path: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
