"""The fuzzer itself: a seed means the same mutations, and what must not happen is told from what may."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from benchmarks.robustness.fuzz import PLACES, draw
from benchmarks.robustness.judge import in_child, read, verdict
from benchmarks.robustness.mutations import Edit, mutate
from benchmarks.robustness.subjects import Subject


def test_a_seed_and_a_number_are_a_mutation() -> None:
    assert draw(3, 7) == draw(3, 7)
    assert draw(3, 7) != draw(4, 7)
    assert {(mutation.subject, mutation.file) for mutation in draw(3, 0)} == set(PLACES)


def test_an_archive_whose_member_is_edited_is_whole_and_that_is_said() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", b"weights" * 10)
    data, anew = mutate(file.getvalue(), Edit("set", 0.5, 1, 3), "x.zip")
    assert anew
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("a.txt") != b"weights" * 10
    assert mutate(file.getvalue(), Edit("set", 0.5, 1, 4), "x.zip")[1] is False


def test_other_numbers_under_a_checksum_are_a_failure_and_without_one_another_file() -> None:
    found = {"outcome": "read", "values": "other"}
    assert verdict(found, "own", sealed=True) == "silent"
    assert verdict(found, "own", sealed=False) == "different"
    assert verdict(found, "other", sealed=True) == "same"
    assert verdict({"outcome": "refused", "values": ""}, "own", sealed=True) == "refused"


def test_a_process_that_dies_is_a_crash() -> None:
    assert in_child(lambda: os.kill(os.getpid(), 15))["outcome"] == "crash"  # type: ignore[arg-type, func-returns-value]


@pytest.mark.parametrize(("text", "outcome"), [("network: [", "refused"), ("network: \x1b[2J", "refused")])
def test_a_refusal_is_one_clear_line(text: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.yaml").write_text(text)
    (tmp_path / "x.npy").write_bytes(b"")
    subject = Subject(".", ("table.yaml",), ("convert", "x.npy", "-o", "OUT", "--mapping", "table.yaml"))
    assert read(subject, tmp_path)["outcome"] == outcome
