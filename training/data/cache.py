"""Pictures resized once: one memory-mapped file of all of them, whole or absent, that any number of processes read.

    XDG_CACHE_HOME/stylexport/images/<digest>.npy    uint8 [N, 3, R, R]

The digest is of the files' names, sizes and times, of R, and of how a picture is prepared (stylexport.common.pictures):
another picture or size is
another file. Whoever comes first makes it; the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.pictures import PREPARED, read_picture
from stylexport.common.text import listing
from stylexport.common.types import NUMPY_ERRORS, Array, Progress
from stylexport.training.data.folder import Pictures

FORMAT = 1
BLOCK = 256  # pictures in memory at a time
SHOWN = 5


def picture_store(found: Pictures, resolution: int, progress: Progress | None = None, cache: Path | None = None) -> Array:
    """The pictures as uint8 [N, 3, R, R], mapped from the cache; `progress` is called with (what, done, total) while they are resized.

    Raises DamagedFile, naming the pictures that cannot be read, and BadInput where the cache cannot be written.
    """
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stylexport" / "images"
    path = cache / f"{_digest(found, resolution)}.npy"
    try:
        if (store := _opened(path, found, resolution)) is None:
            cache.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                if (store := _opened(path, found, resolution)) is None:
                    _write(path, found, resolution, progress)
                    store = np.load(path, mmap_mode="r")
    except OSError as error:
        raise _unwritable(path, error) from error
    return store


def _unwritable(path: Path, error: OSError) -> BadInput:
    remedy = "make room, or set XDG_CACHE_HOME to another folder"
    return BadInput(f"{path}: the resized pictures cannot be written ({error.strerror or error}); {remedy}")


def _digest(found: Pictures, resolution: int) -> str:
    total = hashlib.sha256(f"{FORMAT} {PREPARED} {resolution} {found.folder.resolve()}\n".encode())
    for name, path in zip(found.names, found.files, strict=True):
        about = path.stat()
        total.update(f"{name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return total.hexdigest()


def _opened(path: Path, found: Pictures, resolution: int) -> Array | None:
    """The pictures' array, where the file is there and whole."""
    with contextlib.suppress(*NUMPY_ERRORS):
        store: Array = np.load(path, mmap_mode="r")
        if isinstance(store, np.ndarray) and store.shape == (len(found.files), 3, resolution, resolution):
            return store
    return None


def _write(path: Path, found: Pictures, resolution: int, progress: Progress | None) -> None:
    """Resizes all pictures into the file; every damaged one is found before the error is raised."""
    shape = (len(found.files), 3, resolution, resolution)
    damaged: list[str] = []

    def read(file: Path) -> Array:
        try:
            return read_picture(file, resolution, resolution, (0.0, 255.0)).astype(np.uint8)
        except DamagedFile:
            damaged.append(file.relative_to(found.folder).as_posix())
            return np.zeros(shape[1:], np.uint8)

    with whole_file(path) as partial:
        # Written and not mapped: on a full disk a write fails, where a mapped page would end the process.
        try:
            with partial.open("wb") as out, ThreadPoolExecutor(os.cpu_count()) as pool:
                np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for start in range(0, len(found.files), BLOCK):
                    block = [*pool.map(read, found.files[start : start + BLOCK])]
                    out.write(np.stack(block).tobytes())
                    if progress:
                        progress("resizing", start + len(block), len(found.files))
        except OSError as error:
            raise _unwritable(path, error) from error
        if damaged:
            what = f"{len(damaged)} files are not pictures that can be read: {listing(sorted(damaged), SHOWN)}"
            raise DamagedFile(found.folder, what, "replace them, or take them out")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the file's lock, where the system has one, until the block ends; without it two processes may do the same work twice."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.with_name(f".{path.name}.lock").open("w") as file:
        with contextlib.suppress(OSError):  # some file systems have no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
