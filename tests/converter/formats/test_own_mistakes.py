"""A mistake of StylExport's own in a reader comes through as it is: it is never told as damage of the user's file."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.formats.tfrecord import make_example, write_records
from tests.conftest import DEMO, run

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["w"] = KERNEL


def savedmodel(path: Path) -> None:
    shutil.copy(DEMO / "encoder.savedmodel.zip", path)


READERS = "stylexport.converter.formats"
# What is written, and a function of StylExport's that its reader calls.
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "w.pkl": (lambda path: path.write_bytes(pickle.dumps([KERNEL])), f"{READERS}.pickled.pickles.meaning"),
    "w.npy": (lambda path: np.save(path, KERNEL), f"{READERS}.numpy_files._variable"),
    "w.npz": (lambda path: np.savez(path, w=KERNEL), f"{READERS}.numpy_files._variable"),
    "w.h5": (hdf5, f"{READERS}.keras.h5file.declared_bytes"),
    "r.tfrecord": (lambda path: write_records(path, [make_example({"w": KERNEL})]), f"{READERS}.tfrecord.parse_example"),
    "m.zip": (savedmodel, f"{READERS}.checkpoint.bundle.names_by_object"),
}


@pytest.mark.parametrize("mistake", [AttributeError, TypeError, KeyError, ValueError, RuntimeError, AssertionError])
@pytest.mark.parametrize("name", CASES)
def test_a_mistake_in_a_reader_keeps_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mistake: type[Exception]
) -> None:
    write, function = CASES[name]
    write(tmp_path / name)
    open_artefact(tmp_path / name).close()

    def broken(*_: object, **__: object) -> None:
        raise mistake("a mistake of ours")

    monkeypatch.setattr(function, broken)
    with pytest.raises(mistake, match="a mistake of ours"):
        list(open_artefact(tmp_path / name).variables)


def test_the_command_says_that_the_fault_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, function = CASES["m.zip"]
    write(tmp_path / "m.zip")
    monkeypatch.setattr(function, lambda *_: None.a_mistake_of_ours)  # type: ignore[attr-defined]
    ran = run("inspect", tmp_path / "m.zip")
    assert ran.code == 70
    assert "a_mistake_of_ours" in ran.err
    assert "Traceback" in ran.err
    assert "fetch" not in ran.err
