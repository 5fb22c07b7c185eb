"""The house is easy to see: small folders, names that occur once or twice, tests that lie where their subject lies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = ("stylexport", "converter", "torch_models", "reference_tf", "parity", "attfind", "training", "checkpoints", "benchmarks")
MOST_MODULES, MOST_NAMESAKES = 12, 2
# Subjects that are not folders: the installed package as a whole.
NO_FOLDER = {"packaging"}


def modules(folder: Path) -> list[Path]:
    """The modules in a folder, without `__init__.py` and `__main__.py`, whose names Python prescribes."""
    return sorted(path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py"))


def folders(top: Path) -> list[Path]:
    """A folder and all folders below it that hold a package."""
    return sorted(path.parent for path in top.rglob("__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_no_folder_holds_more_modules_than_one_sees_at_a_glance(room: str) -> None:
    found = {str(folder.relative_to(ROOT)): len(modules(folder)) for folder in folders(ROOT / room)}
    assert {name: count for name, count in found.items() if count > MOST_MODULES} == {}


def test_a_modules_name_occurs_twice_at_most() -> None:
    rooms = [room for room in ROOMS if room != "benchmarks"]
    found = Counter(path.name for room in rooms for folder in folders(ROOT / room) for path in modules(folder))
    assert {name: count for name, count in found.items() if count > MOST_NAMESAKES} == {}


def test_tests_lie_where_their_subject_lies() -> None:
    tests = ROOT / "tests"
    places = {folder.relative_to(tests).as_posix() for folder in folders(tests)} - {"."} - NO_FOLDER
    assert {place for place in places if not (ROOT / place / "__init__.py").is_file()} == set()
