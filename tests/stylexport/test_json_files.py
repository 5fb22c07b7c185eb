"""Dataclasses from JSON: what does not fit is the file's fault and says which field; what a constructor does wrong is ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stylexport.common.json_files import from_json, plain, read_json, write_json


@dataclass(frozen=True)
class Row:
    name: str
    shape: tuple[int, ...] = ()
    size: tuple[int, int] | None = None
    share: float = 0.5


@dataclass(frozen=True)
class Table:
    rows: Sequence[Row]
    by_name: Mapping[str, Row]
    about: Mapping[str, Any]


def test_lists_become_tuples_and_objects_the_dataclasses_inside() -> None:
    row = {"name": "w", "shape": [3, 4], "size": [1, 2], "share": 1}
    found = from_json(Table, {"rows": [row], "by_name": {"w": {"name": "w"}}, "about": {"x": [1]}})
    assert found == Table([Row("w", (3, 4), (1, 2), 1)], {"w": Row("w")}, {"x": [1]})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], r"\[\] is not an object with the fields of a Row"),
        ({"shape": []}, "without the fields name"),
        ({"name": "w", "depth": 3}, "unknown fields: depth"),
        ({"name": None}, "`name` is None, which is not str"),
        ({"name": "w", "shape": [1, True]}, "`shape` is "),
        ({"name": "w", "shape": 3}, "`shape` is 3"),
        ({"name": "w", "size": [1, 2, 3]}, "`size` is "),
        ({"name": "w", "share": "half"}, "`share` is 'half', which is not float"),
        ({"name": 9**99 * 9**99}, r"`name` is \d{100} \.\.\., which is not str"),
    ],
)
def test_what_does_not_fit_is_named(values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_json(Row, values)


def test_a_mistake_in_a_constructor_stays_one() -> None:
    @dataclass
    class Wrong:
        size: int

        def __post_init__(self) -> None:
            raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        from_json(Wrong, {"size": 1})


def test_what_json_does_not_have_is_replaced() -> None:
    assert plain({1: [math.inf, float("nan"), b"x", Path("p")]}) == {"1": [None, None, "b'x'", "p"]}


def test_a_name_that_is_no_unicode_comes_back_from_a_file(tmp_path: Path) -> None:
    write_json(tmp_path / "facts.json", {"path": "caf\udce9", "rows": [["caf\udce9", "é"]]})
    assert read_json(tmp_path / "facts.json") == {"path": "caf\udce9", "rows": [["caf\udce9", "é"]]}
