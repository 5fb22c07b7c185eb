"""Folders that appear whole or not at all: everything is written to a folder of its own and moved into place at the end."""

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
def staged(target: Path) -> Iterator[Path]:
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
