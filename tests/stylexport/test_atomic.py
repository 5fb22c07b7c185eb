"""Whenever a writer is killed, its target is the old one or the new one, whole, and the next writer leaves nothing else."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylexport.common.atomic import whole_file, whole_folder
from stylexport.common.errors import BadInput
from stylexport.common.json_files import read_index
from stylexport.common.locks import claimed, temporary_folder
from stylexport.termination import Terminated, unwinding

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
STEPS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove"}
OLD = {"generator/config.json": "old", "generator/model.safetensors": "old weights"}
NEW = {
    "generator/config.json": "new",
    "generator/model.safetensors": "new weights",
    "encoder/config.json": "e",
    "encoder/model.safetensors": "w",
}
NOTES = {"notes.txt": "a user's"}


def write(files: dict[str, str], target: Path) -> None:
    with whole_folder(target) as stage:
        for name, text in {**files, "stylex.json": index(files)}.items():
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_text(text)


def index(files: dict[str, str]) -> str:
    return json.dumps({"networks": {name.split("/")[0]: name.split("/")[0] for name in files}})


def held(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def killed_at(step: int, act: Callable[[], None], number: int = signal.SIGKILL) -> bool:
    """Forks, acts, and sends the child a signal when it is about to take this step on the file system; whether that ended it."""
    if not (child := os.fork()):
        taken = 0

        def about_to(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal taken
            if event in STEPS and (taken := taken + 1) == step:
                os.kill(os.getpid(), number)

        code = 1
        try:
            sys.addaudithook(about_to)
            with unwinding():
                act()
            code = 0
        except Terminated:
            code = 143
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL, 143)
    return code != 0


@FORK
@pytest.mark.parametrize("before", [OLD, {}], ids=["added to", "new"])
def test_a_folder_whose_writer_is_killed_at_any_step_loses_nothing(tmp_path: Path, before: dict[str, str]) -> None:
    for step in range(1, 200):
        target = tmp_path / str(step) / "out"
        target.parent.mkdir()
        if before:
            write(before, target)
            (target / "notes.txt").write_text(NOTES["notes.txt"])
        was_killed = killed_at(step, lambda target=target: write(NEW, target))  # type: ignore[misc]
        if target.exists():
            for place in json.loads((target / "stylex.json").read_text())["networks"]:  # none is gone, also before anything is mended
                assert (target / place / "model.safetensors").is_file()
                assert (target / place / "config.json").is_file()
            read_index(target)
            assert not (target / ".stylexport.ready").exists()
            whole = [{**files, **NOTES, "stylex.json": index(files)} for files in (before, NEW)]
            found = {name: text for name, text in held(target).items() if not name.startswith(".")}
            assert found in (whole if before else [{k: v for k, v in one.items() if k not in NOTES} for one in whole])
        write(NEW, target)
        assert held(target) == {**NEW, **(NOTES if before else {}), "stylex.json": index(NEW)}
        assert [path.name for path in target.parent.iterdir()] == ["out"]
        if not was_killed:
            assert step > 10
            return
    raise AssertionError("it never came to its end")


@FORK
def test_a_file_whose_writer_is_killed_at_any_step_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"

    def act() -> None:
        with whole_file(path) as partial:
            partial.with_name(".tmpWrITer").write_text("what a library leaves beside it")
            partial.write_text("new")

    step, was_killed = 0, True
    while was_killed:
        step += 1
        path.write_text("old")
        was_killed = killed_at(step, act)
        assert path.read_text() in ("old", "new")
        act()
        assert held(tmp_path) == {"note.txt": "new"}
    assert step > 4


@FORK
@pytest.mark.parametrize("before", [OLD, {}], ids=["added to", "new"])
def test_sigterm_at_any_step_leaves_nothing_half_written(tmp_path: Path, before: dict[str, str]) -> None:
    for step in range(1, 200):
        target = tmp_path / str(step) / "out"
        target.parent.mkdir()
        if before:
            write(before, target)
        ended = killed_at(step, lambda target=target: write(NEW, target), signal.SIGTERM)  # type: ignore[misc]
        found = held(target.parent)
        assert found in [
            {f"out/{name}": text for name, text in {**files, "stylex.json": index(files)}.items()} for files in (before, NEW)
        ] or (not found and not before)
        assert not list(target.parent.rglob(".*"))
        if not ended:
            assert step > 10
            return
    raise AssertionError("it never came to its end")


@FORK
def test_sigterm_at_any_step_of_a_file_leaves_nothing_half_written(tmp_path: Path) -> None:
    def act() -> None:
        with whole_file(tmp_path / "note.txt") as partial:
            partial.write_text("new")

    step = 1
    while killed_at(step, act, signal.SIGTERM):
        assert [path.name for path in tmp_path.iterdir()] in ([], ["note.txt"])
        step += 1
    assert step > 3


def test_of_two_writers_the_second_says_so_and_the_first_goes_on(tmp_path: Path) -> None:
    for target in (tmp_path / "new", tmp_path / "there"):
        if target.name == "there":
            write(OLD, target)
        with whole_folder(target) as stage:
            with pytest.raises(BadInput, match=f"{target.name}: another program is writing it"):
                write(OLD, target)
            (stage / "stylex.json").write_text(index(NEW))
        assert json.loads((target / "stylex.json").read_text())["networks"] == {"generator": "generator", "encoder": "encoder"}
    with whole_file(tmp_path / "file") as partial:
        with pytest.raises(BadInput, match="file: another program is writing it"), whole_file(tmp_path / "file"):
            pass
        partial.write_text("first")
    assert (tmp_path / "file").read_text() == "first"


def test_what_stands_in_the_way_is_told_before_anything_is_moved(tmp_path: Path) -> None:
    write(OLD, tmp_path / "out")
    (tmp_path / "out" / "encoder").write_text("no folder")
    before = held(tmp_path)
    with pytest.raises(BadInput, match="encoder: is in the way of a folder"):
        write(NEW, tmp_path / "out")
    assert held(tmp_path) == before


def test_what_a_killed_program_left_beside_a_folder_that_is_there_by_now_goes(tmp_path: Path) -> None:
    (tmp_path / ".out.partial" / "encoder").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    write(NEW, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_error_in_a_file_that_was_to_be_read_is_not_called_one_of_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "out"):
        Path("/nowhere/to/be/read").read_text()


@FORK
def test_a_worker_that_outlives_its_parent_does_not_hold_the_parents_lock(tmp_path: Path) -> None:
    with claimed(tmp_path / "run"):
        ready, told = os.pipe()
        if not (worker := os.fork()):
            os.write(told, b"x")
            signal.pause()
        os.read(ready, 1)
    try:
        with claimed(tmp_path / "run"):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)


@FORK
def test_the_temporary_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def act() -> None:
        with temporary_folder() as folder:
            (folder / "note.txt").write_text("for now")

    assert killed_at(3, act)  # a step after the folder was made
    assert len(list(tmp_path.iterdir())) == 1
    with temporary_folder() as mine:
        assert list(tmp_path.iterdir()) == [mine]
        act()
        assert mine.is_dir()
    assert not list(tmp_path.iterdir())
