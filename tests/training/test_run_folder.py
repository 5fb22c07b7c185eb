"""A run's folder belongs to one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylexport.common.errors import BadInput
from stylexport.training.config import load
from stylexport.training.run_folder import claim, last_checkpoint, record_settings
from tests.conftest import run
from tests.digits import digits_folder
from tests.training.small_run import settings
from tests.training.steps import CONFIG


def test_a_folder_that_a_run_recorded_is_not_another_runs(tmp_path: Path) -> None:
    with claim(tmp_path / "run", resume=False):
        record_settings(tmp_path / "run", CONFIG)
    with pytest.raises(BadInput, match="--resume goes on with it"), claim(tmp_path / "run", resume=False):
        pass
    with claim(tmp_path / "run", resume=True):
        pass


def test_two_programs_do_not_train_one_run(tmp_path: Path) -> None:
    busy = pytest.raises(BadInput, match="another program is training this run")
    with claim(tmp_path / "run", resume=False), busy, claim(tmp_path / "run", resume=False):
        pass


def test_a_failed_training_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="as it happens"), claim(tmp_path / "runs" / "one", resume=False):
        raise ValueError("as it happens")
    assert not list(tmp_path.iterdir())


def test_what_was_killed_before_it_had_begun_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".0000000.partial" / "generator").mkdir(parents=True)
    (tmp_path / "checkpoints" / "0000000").mkdir()
    with claim(tmp_path, resume=False):
        assert not list(tmp_path.iterdir())


def test_other_files_are_not_mixed_with(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="is not empty"), claim(tmp_path, resume=False):
        pass
    with pytest.raises(BadInput, match=r"notes\.txt: is a file"), claim(tmp_path / "notes.txt", resume=False):
        pass


def test_what_is_recorded_is_read_as_the_same_settings(tmp_path: Path) -> None:
    record_settings(tmp_path, CONFIG)
    assert load(tmp_path / "settings.yaml") == CONFIG


def test_a_run_that_does_not_say_what_it_began_with_is_not_gone_on_with_and_else_the_last_checkpoint_is(tmp_path: Path) -> None:
    record_settings(tmp_path, CONFIG)
    with pytest.raises(BadInput, match="does not say what it began with"):
        last_checkpoint(tmp_path)
    for name in ("0000200", "0001000", "0000900"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "training.json").touch()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoints" / "0001000"


def test_a_run_that_was_refused_leaves_a_folder_that_the_next_may_take(converted: Path, tmp_path: Path) -> None:
    config = settings(tmp_path, digits_folder(tmp_path / "data", 16), run="{steps: 1, batch: 4, noise: const}", metrics="{images: 4}")
    command: list[str | Path] = ["train", config, "-o", tmp_path / "run", f"classifier.spec={converted}", "--device", "cpu"]
    assert run(*command, "model.channels=[8, 8]").code == 2
    assert run(*command).code == 0
