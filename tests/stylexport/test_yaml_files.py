"""YAML of a user's: whatever it holds, one clear error, and nothing is built that is larger than the text says."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylexport.common.errors import BadInput
from stylexport.common.yaml_files import parse_yaml
from stylexport.converter.mapping.user_table import UserTable
from tests.conftest import run

# Nine of each in the next, thirty times: 9^30 values.
LISTS = "config:\n  a0: &a0 [x]\n" + "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
TABLES = "config:\n  a0: &a0 {x: 1}\n" + "".join(f"  a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 30))
MANY = list(range(3000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LISTS, "anchors (&) stand for more than"),
        (TABLES, "anchors (&) stand for more than"),
        ("config: {day: 2020-13-45}", "month must be in 1..12"),
        ("config: &a {own: *a}", "an anchor (&) holds itself"),
        ("config: " + "[" * 20_000, "is not valid YAML"),
        ("config: {a: " + "9" * 5000 + "}", "a number of 5,000 characters"),
        ("config: {a: " + "1:" * 5000 + "1}", "a number of 10,001 characters"),
        ("config: {[1, 2]: 3}", "unhashable key"),
        ("x" * 5_000_000, "is larger than"),
        (f"tensors: [{{tf: 'c{{i}}', torch: '{{i}}{{j}}{{k}}', for: {{i: {MANY}, j: {MANY}, k: {MANY}}}}}]", "27,000,000,000 tensors"),
        (f"tensors: [{{tf: '{'{i}' * 500}', torch: a, for: {{i: [{'y' * 5000}]}}}}]", "a name is longer than"),
        ("config: {a: .nan}", "put dates, .nan and the like in quotes"),
    ],
    ids=range(12),
)
def test_a_table_that_is_none_or_stands_for_too_much_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(f"network: own\n{text}")
    with pytest.raises(BadInput, match=r"table\.yaml") as raised:
        UserTable.read(path)
    assert words in str(raised.value)


def test_an_anchor_that_is_used_twice_is_no_bomb() -> None:
    assert parse_yaml("{a: &a [1, 2], b: *a, c: [*a, *a]}", "here", "") == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("text", [LISTS, "data: {path: 2020-13-45}"])
def test_settings_of_a_training_are_read_by_the_same_reader(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(text)
    ran = run("train", tmp_path / "settings.yaml", "-o", tmp_path / "run")
    assert ran.code == 2
    assert "settings.yaml: " in ran.one_line_error()
    assert not (tmp_path / "run").exists()
