"""Two runs compared."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from stylexport.attfind import Effects
from stylexport.attfind.authors import to_authors, write_run
from stylexport.attfind.compare import compare
from stylexport.common.errors import BadInput
from tests.attfind.runs import made
from tests.conftest import run


def ranked(gains: list[float]) -> Effects:
    """A run of two images, one a class; coordinate s gains gains[s] towards either class, in direction 1; nothing in direction 0."""
    effects = np.zeros((2, 2, len(gains), 2))
    effects[:, 1, :, :] = np.array(gains)[:, None]
    return made(effects, np.eye(2))


def test_rank_correlations_are_of_the_mean_gains() -> None:
    first, second = ranked([0.1, 0.2, 0.3, 0.4, 0.5]), ranked([0.2, 0.1, 0.3, 0.5, 0.4])
    row = compare(first, second).rows[1]
    assert (row.target, row.direction) == (0, 1)
    assert row.spearman == pytest.approx(1 - 6 * 4 / (5 * 24))  # four ranks, each one off
    assert row.kendall == pytest.approx((8 - 2) / 10)  # two of ten pairs turned


def test_equal_gains_are_ties_and_a_row_without_any_difference_has_no_correlation() -> None:
    found = compare(ranked([0.1, 0.2, 0.2, 0.4]), ranked([0.1, 0.2, 0.3, 0.4]))
    assert found.rows[1].kendall == pytest.approx(5 / np.sqrt(5 * 6))
    assert (found.rows[0].spearman, found.rows[0].kendall, found.rows[0].overlap) == (None, None, None)


def test_the_overlap_is_of_the_first_k() -> None:
    found = compare(ranked([0.5, 0.4, 0.3, 0.2, 0.1]), ranked([0.1, 0.4, 0.5, 0.2, 0.3]), top=3)
    assert found.rows[1].shared == (1, 2)
    assert found.least_overlap == pytest.approx(2 / 3)


def test_fewer_gains_than_k_are_compared_as_they_are() -> None:
    found = compare(ranked([0.5, 0, 0, 0, 0.25]), ranked([0.5, 0, 0, 0, 0]), top=3)
    assert (found.rows[1].shared, found.rows[1].overlap) == ((0,), 0.5)


def test_only_images_of_other_classes_count() -> None:
    first, second = ranked([0.1, 0.2, 0.3]), ranked([0.1, 0.2, 0.3])
    effects = second.effects.copy()
    effects[0, 1, :, 0] = [9, 0, 0]  # an image of class 0, towards class 0
    assert compare(first, dataclasses.replace(second, effects=effects)).rows[1].spearman == pytest.approx(1)


def test_the_largest_differences_say_where_they_are() -> None:
    first = ranked([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    effects = first.effects.copy()
    effects[1, 0, 5, 1] -= 0.75
    effects[0, 1, 2, 0] += 0.5
    found = compare(first, dataclasses.replace(first, effects=effects), places=2)
    assert found.differences is not None
    places = [(d.image, d.direction, d.coordinate, d.layer, d.channel, d.label, round(d.second - d.first, 6)) for d in found.differences]
    assert places == [(1, 0, 5, "b8.conv0", 0, 1, -0.75), (0, 1, 2, "b4.conv1", 2, 0, 0.5)]
    assert found.relative == pytest.approx(0.75)  # the logits are 0 and 1


def test_images_that_one_run_has_not_measured_are_not_compared() -> None:
    first = ranked([0.1, 0.2, 0.3])
    effects = first.effects.copy()
    effects[1] = 7
    found = compare(first, dataclasses.replace(first, effects=effects, done=np.array([True, False])))
    assert (found.relative, found.differences) == (0, ())


def test_runs_of_other_images_are_compared_by_rank_alone() -> None:
    first = ranked([0.1, 0.2, 0.3])
    found = compare(first, dataclasses.replace(first, latents=first.latents[::-1] * 2))
    assert found.differences is None
    assert "latents differ" in found.remarks[0]
    assert found.rows[1].spearman == pytest.approx(1)


def test_runs_of_other_models_are_refused() -> None:
    with pytest.raises(BadInput, match="3 coordinates and 2 labels, the other 4 and 2"):
        compare(ranked([0.1, 0.2, 0.3]), ranked([0.1, 0.2, 0.3, 0.4]))


def test_a_run_is_compared_with_the_authors_file_and_an_overlap_can_be_required(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ranked([0.5, 0.4, 0.3, 0.2]))
    to_authors(ranked([0.5, 0.4, 0.2, 0.3]), tmp_path / "authors.tfrecord")
    arguments = ("attfind", "compare", tmp_path / "run", tmp_path / "authors.tfrecord", "--top", "3", "--json")
    ran = run(*arguments, "--require-overlap", "0.7")
    assert ran.code == 1
    found = json.loads(ran.out)
    assert (found["passed"], found["least_overlap"], found["rows"][1]["shared"]) == (False, pytest.approx(2 / 3), [0, 1])
    assert run(*arguments, "--require-overlap", "0.6").code == 0
    ran = run("attfind", "compare", tmp_path / "run", tmp_path / "authors.tfrecord", "--require-overlap", "1")
    assert ran.code == 0
    assert "largest difference 0.1, 0.1 of the logits' spread" in ran.out


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "run", ranked([0.5, 0.4]))
    ran = run("attfind", "compare", tmp_path / "run", tmp_path / "gone")
    assert ran.code == 2
    assert "gone: is not there" in ran.one_line_error()
