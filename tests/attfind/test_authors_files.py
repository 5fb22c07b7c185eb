"""The authors' effects file and runs of this project, in both directions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from stylexport.attfind import Effects, find_attributes
from stylexport.attfind.authors import from_authors, to_authors, write_run
from stylexport.common.errors import BadInput
from stylexport.converter.formats.tfrecord import parse_example, read_records
from tests.attfind.finished import finished
from tests.attfind.runs import made
from tests.conftest import run

SHAPE = (4, 2, 5, 3)  # images, directions, coordinates, labels


@pytest.fixture
def effects() -> Effects:
    rng = np.random.default_rng(3)
    base = rng.normal(size=(4, 3))
    return made(rng.normal(size=SHAPE), base, layers=(("b4.conv1", 3), ("b8.conv0", 2)))


@pytest.fixture(scope="module")
def measured(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Effects:
    """Of the embedded release: its own logits, dlatents and styles; effects made up."""
    return Effects.load(finished(tmp_path_factory.mktemp("finished") / "run", converted))


def test_export_then_import_gives_the_same_numbers(tmp_path: Path, effects: Effects) -> None:
    write_run(tmp_path / "run", effects)
    assert run("attfind", "export", tmp_path / "run", "-o", tmp_path / "effects.tfrecord").code == 0
    ran = run("attfind", "import", tmp_path / "effects.tfrecord", "-o", tmp_path / "back")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "4 images, 5 coordinates, 3 labels")
    back = Effects.load(tmp_path / "back")
    for name in ("effects", "base_logits", "latents", "done"):
        np.testing.assert_array_equal(getattr(back, name), getattr(effects, name))
    assert back.styles.shape == (4, 0)
    assert back.about["images"]["effects"] == "effects.tfrecord"


def test_in_the_file_the_label_runs_fastest_then_the_direction_then_the_coordinate(tmp_path: Path, effects: Effects) -> None:
    to_authors(effects, tmp_path / "effects.tfrecord")
    record = parse_example(tmp_path, 2, list(read_records(tmp_path / "effects.tfrecord"))[2])
    result = np.asarray(record["result"])
    assert result[(4 * 2 + 1) * 3 + 2] == effects.effects[2, 1, 4, 2]
    assert result[(3 * 2 + 0) * 3 + 1] == effects.effects[2, 0, 3, 1]
    assert len(result) == 30


def test_an_imported_run_selects_what_the_exported_one_did(tmp_path: Path, effects: Effects) -> None:
    to_authors(effects, tmp_path / "effects.tfrecord")
    chosen = [(a.direction, a.coordinate, a.score) for a in find_attributes(effects, 1, threshold=9)]
    assert len(chosen) > 3
    assert [
        (a.direction, a.coordinate, a.score) for a in find_attributes(from_authors(tmp_path / "effects.tfrecord"), 1, threshold=9)
    ] == chosen


def test_with_its_model_an_imported_run_has_styles_layers_and_label_names(tmp_path: Path, converted: Path, measured: Effects) -> None:
    to_authors(measured, tmp_path / "effects.tfrecord")
    ran = run("attfind", "import", tmp_path / "effects.tfrecord", "-o", tmp_path / "back", "--model", converted)
    assert ran.code == 0, ran.err
    back = Effects.load(tmp_path / "back")
    np.testing.assert_allclose(back.styles, measured.styles, atol=1e-6)
    np.testing.assert_allclose(back.style_max, measured.styles.max(0), atol=1e-6)
    assert back.layers == measured.layers
    assert back.where(back.styles.shape[1] - 1) == ("b32.conv1", 11)
    assert back.about["model_path"] == str(converted)


def test_another_models_file_is_refused(tmp_path: Path, converted: Path, measured: Effects, effects: Effects) -> None:
    to_authors(effects, tmp_path / "small.tfrecord")
    with pytest.raises(BadInput, match=rf"has 5 style coordinates, the model {measured.styles.shape[1]}\b"):
        from_authors(tmp_path / "small.tfrecord", converted)
    to_authors(dataclasses.replace(measured, base_logits=measured.base_logits + np.float32(4)), tmp_path / "other.tfrecord")
    with pytest.raises(BadInput, match="not the run's model"):
        from_authors(tmp_path / "other.tfrecord", converted)


def test_a_run_that_is_not_finished_is_not_exported(tmp_path: Path, effects: Effects) -> None:
    lacking = dataclasses.replace(effects, done=np.array([True, False, True, True]))
    with pytest.raises(BadInput, match="1 of 4 images are not measured yet"):
        to_authors(lacking, tmp_path / "effects.tfrecord")
    with pytest.raises(BadInput, match="screened"):
        to_authors(dataclasses.replace(effects, about={"search": "screened"}), tmp_path / "effects.tfrecord")
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_written_over_another(tmp_path: Path, effects: Effects) -> None:
    to_authors(effects, tmp_path / "effects.tfrecord")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    ran = run("attfind", "import", tmp_path / "effects.tfrecord", "-o", tmp_path / "run")
    assert ran.code == 2
    assert "is not empty; name a new folder" in ran.one_line_error()


def test_a_file_that_is_none_of_the_authors_is_answered_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.tfrecord").write_bytes(b"abc")
    ran = run("attfind", "import", tmp_path / "no.tfrecord", "-o", tmp_path / "run")
    assert ran.code == 2
    assert "no.tfrecord" in ran.one_line_error()
