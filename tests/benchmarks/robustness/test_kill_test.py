"""The kill test itself: a file under its own name that is not whole is told from one that is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.robustness.kill_test import is_whole


def _h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["w"] = np.ones(3)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.json": lambda path: path.write_text('{"networks": {}}'),
    "log.jsonl": lambda path: path.write_text('{"step": 1}\n{"step": 2}'),
    "part.npy": lambda path: np.save(path, np.ones(3)),
    "latents.npz": lambda path: np.savez(path, w=np.ones(3)),
    "model.safetensors": lambda path: save_file({"w": np.ones(3)}, path),
    "effects.h5": _h5,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_was_cut_is_not_whole(name: str, tmp_path: Path) -> None:
    WRITERS[name](path := tmp_path / name)
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-4])
    assert not is_whole(path)
    path.write_bytes(b"")
    assert is_whole(path) == (path.suffix == ".jsonl")
