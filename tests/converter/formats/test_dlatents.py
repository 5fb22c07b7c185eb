"""The released latents come as the bytes they are; a file that is not them says why."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.common.errors import BadInput
from stylexport.converter.formats.pickled.dlatents import looks_like_dlatents, open_pickle_or_dlatents, read_dlatents
from tests.converter.formats.damage import refusals

ROW = np.arange(5, dtype=np.float32)[None]


def write(path: Path, rows: Any) -> Path:
    path.write_bytes(pickle.dumps(rows, protocol=3))
    return path


def test_rows_keep_their_order_and_their_names(tmp_path: Path) -> None:
    path = write(tmp_path / "d.bin", [("7", ROW), ("2", ROW * -2)])
    assert looks_like_dlatents(path)
    dlatents = read_dlatents(path)
    assert dlatents.indices == ("7", "2")
    np.testing.assert_array_equal(dlatents.values, [[0, 1, 2, 3, 4], [0, -2, -4, -6, -8]])
    assert dlatents.values.dtype == np.float32
    opened = open_pickle_or_dlatents(path)
    assert [(variable.name, variable.shape) for variable in opened.variables] == [("dlatents", (2, 5))]
    np.testing.assert_array_equal(opened.read(opened.variables[0]), dlatents.values)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "holds no latents"),
        ({"0": ROW}, "a pickled dict"),
        ([("0", ROW), ("1", ROW[:, :4])], "rows of 4, 5 entries"),
        ([("0", ROW), ("0", ROW)], "two rows for image '0'"),
        ([("0", ROW), ("1", ROW + np.float32([0, 0, np.inf, 0, 0]))], "row '1' is not finite"),
        ([("0", ROW[0])], r"row 0 is not \(index, array \[1, D\]\)"),
        ([("0", ROW.astype(np.float64))], "float64, not float32"),
        ([(0, ROW)], "row 0 is not"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_is_not_the_released_form_is_named(tmp_path: Path, rows: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_dlatents(write(tmp_path / "d.pkl", rows))


def test_a_pickle_of_weights_is_not_taken_for_latents(tmp_path: Path) -> None:
    assert not looks_like_dlatents(write(tmp_path / "d.pkl", [("G/w", ROW), ("G/b", ROW[:, :2])]))
    assert not looks_like_dlatents(write(tmp_path / "d.pkl", [ROW]))


def test_damage_is_answered_with_a_sentence(tmp_path: Path) -> None:
    messages = refusals(write(tmp_path / "d.pkl", [("0", ROW), ("1", ROW + 1)]), 300, 9, read_dlatents)
    assert len(messages) > 100
