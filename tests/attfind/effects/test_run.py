"""A run on disk: whole or absent, one program's, and the same bytes however often it was interrupted."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.run import Run
from stylexport.common.errors import BadInput, DamagedFile

LAYERS = [["b4.conv1", 2], ["b8.conv0", 3]]
ABOUT: dict[str, Any] = {"shift": 0.5, "layers": LAYERS, "labels": ["cat", "dog", "eel"], "batch": 4, "model": {"name": "m"}}
RNG = np.random.default_rng(7)
ARRAYS = {
    "latents": RNG.normal(size=(4, 6)).astype(np.float32),
    "styles": RNG.normal(size=(4, 5)).astype(np.float32),
    "base_logits": RNG.normal(size=(4, 3)).astype(np.float32),
    "style_min": np.array([-3, -2, -4, -5, -6], np.float32),
    "style_max": np.array([3, 4, 5, 7, 9], np.float32),
}
EFFECTS = RNG.normal(size=(4, 2, 5, 3)).astype(np.float32)


def begun(folder: Path, images: tuple[int, ...] = ()) -> Run:
    run = Run.create(folder, ABOUT, ARRAYS)
    for image in images:
        run.add(image, EFFECTS[image])
    return run


def test_a_run_that_is_not_finished_gives_what_is_measured_and_marks_it(tmp_path: Path) -> None:
    assert begun(tmp_path / "run", (2, 0)).missing() == [1, 3]
    found = Effects.load(tmp_path / "run")
    assert found.done.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found.effects[[0, 2]], EFFECTS[[0, 2]])
    assert not found.effects[[1, 3]].any()


def test_a_finished_run_is_one_file_with_all_of_it(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", (3, 1, 0, 2))
    assert run.finish() == tmp_path / "run" / "effects.h5"
    assert run.missing() == []
    assert not (tmp_path / "run" / "parts").exists()
    found = Effects.load(tmp_path / "run")
    np.testing.assert_array_equal(found.effects, EFFECTS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(getattr(found, name), array)
    assert (found.labels, found.layers) == (("cat", "dog", "eel"), (("b4.conv1", 2), ("b8.conv0", 3)))
    assert found.about["shift"] == 0.5
    assert found.where(4) == ("b8.conv0", 2)


def test_the_same_effects_are_the_same_bytes_in_whatever_order_they_came(tmp_path: Path) -> None:
    files = [begun(tmp_path / f"{order}", order).finish().read_bytes() for order in ((0, 1, 2, 3), (3, 2, 0, 1))]
    assert files[0] == files[1]


def test_effects_written_whole_are_read_back(tmp_path: Path) -> None:
    begun(tmp_path / "run", (0, 1, 2, 3)).finish()
    found = Effects.load(tmp_path / "run")
    (tmp_path / "copy").mkdir()
    found.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "effects.h5").read_bytes() == (tmp_path / "run" / "effects.h5").read_bytes()
    np.testing.assert_array_equal(Effects.load(tmp_path / "copy").effects, EFFECTS)


def test_a_run_of_other_settings_is_not_mixed_in_and_the_settings_are_named(tmp_path: Path) -> None:
    begun(tmp_path / "run", (1,))
    with pytest.raises(BadInput, match=r"differs in model, shift; name another folder"):
        Run.create(tmp_path / "run", {**ABOUT, "shift": 1.0, "model": {"name": "other"}}, ARRAYS)


def test_another_batch_size_and_another_place_of_the_model_are_the_same_run(tmp_path: Path) -> None:
    begun(tmp_path / "run", (1,))
    assert Run.create(tmp_path / "run", {**ABOUT, "batch": 99, "model_path": "/elsewhere"}, ARRAYS).missing() == [0, 2, 3]


def test_a_file_where_the_run_is_to_be_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("precious")
    with pytest.raises(BadInput, match="run: is a file; name a new folder"):
        Run.create(tmp_path / "run", ABOUT, ARRAYS)
    assert (tmp_path / "run").read_text() == "precious"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match="is not empty and holds no run"):
        begun(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_is_not_finished_before_all_images_are_measured(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="3 images are not measured yet"):
        begun(tmp_path / "run", (2,)).finish()
    assert not (tmp_path / "run" / "effects.h5").exists()


def test_a_part_cut_short_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", (0, 1, 2, 3))
    part = tmp_path / "run" / "parts" / "000002.npy"
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(DamagedFile, match=r"000002\.npy.*delete it and run again: only this image is measured again"):
        run.finish()


def test_a_part_that_is_an_archive_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", (0, 1, 2, 3))
    with (tmp_path / "run" / "parts" / "000002.npy").open("wb") as file:
        np.savez(file, EFFECTS[2])
    with pytest.raises(DamagedFile, match=r"000002\.npy.*an archive, not an array"):
        run.finish()


def test_a_part_of_another_run_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", (0, 1, 3))
    run.add(2, EFFECTS[2, :, :4])
    with pytest.raises(DamagedFile, match=r"000002\.npy.*\(2, 4, 3\), not \(2, 5, 3\)"):
        Effects.load(tmp_path / "run")


def test_what_a_killed_program_left_half_written_is_cleared_and_counts_for_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", (0,))
    half, old = (tmp_path / "run" / "parts" / f".00000{i}.npy.partial" for i in (1, 2))
    half.mkdir()
    (half / "000001.npy").write_bytes(b"\x93NUMPY")
    old.write_bytes(b"\x93NUMPY")  # as earlier versions left it
    assert run.missing() == [1, 2, 3]
    run.clear_leftovers()
    assert not half.exists()
    assert not old.exists()


def test_a_broken_description_is_one_clear_error(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(json.dumps(ABOUT)[:-9])
    with pytest.raises(DamagedFile, match=r"run\.json: the run.s description cannot be read .* delete .*run and measure again"):
        Effects.load(tmp_path / "run")


def test_a_file_that_is_no_run_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "effects.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    with pytest.raises(DamagedFile, match=r"effects\.h5: does not hold effects"):
        Effects.load(tmp_path)
    with pytest.raises(BadInput, match="is not a run of AttFind"):
        Effects.load(tmp_path / "elsewhere")


def test_a_run_is_finished_with_few_images_effects_in_memory_whatever_their_number(tmp_path: Path) -> None:
    size, images = 4000, 60
    arrays = {
        "latents": np.zeros((images, 2), np.float32),
        "styles": np.zeros((images, size), np.float32),
        "base_logits": np.zeros((images, 3), np.float32),
        "style_min": np.zeros(size, np.float32),
        "style_max": np.ones(size, np.float32),
    }
    run = Run.create(tmp_path / "run", {**ABOUT, "layers": [["b4.conv1", size]]}, arrays)
    one = RNG.normal(size=(2, size, 3)).astype(np.float32)
    for image in range(images):
        run.add(image, one * image)
    tracemalloc.start()
    try:
        run.finish()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 * one.nbytes
    np.testing.assert_array_equal(Effects.load(tmp_path / "run").effects[41], one * 41)
