"""setup.cfg against the tree: every package and every data file is listed, nothing is listed that is not there."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
# package -> its folder in the repository
ROOMS = dict(re.split(r"\s*=\s*", line) for line in SETUP["options"]["package_dir"].split("\n") if line.strip())
IGNORED = {"__pycache__", ".mypy_cache"}


def lines(text: str) -> list[str]:
    """A setting's lines, without comments."""
    return [line.strip() for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]


def in_tree() -> dict[str, Path]:
    """Package -> folder, of every folder with an `__init__.py` in a room."""
    found = {}
    for package, folder in ROOMS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found[".".join([package, *init.parent.relative_to(ROOT / folder).parts])] = init.parent
    return found


def test_every_package_of_the_tree_is_listed_and_no_other() -> None:
    listed = lines(SETUP["options"]["packages"])
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(in_tree())


def test_every_folder_with_modules_is_a_package() -> None:
    modules = {path.parent for folder in ROOMS.values() for path in (ROOT / folder).rglob("*.py") if not IGNORED & set(path.parts)}
    assert modules == set(in_tree().values())


@pytest.mark.parametrize("package", ROOMS)
def test_every_data_file_is_installed(package: str) -> None:
    patterns = {name.strip(): re.split(r"\s*,\s*", value.strip()) for name, value in SETUP["options.package_data"].items()}
    packages = in_tree()
    installed = {path for name, globs in patterns.items() for pattern in globs for path in packages[name].glob(pattern) if path.is_file()}
    for path in (ROOT / ROOMS[package]).rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc") and not IGNORED & set(path.parts):
            assert path in installed, f"{path} is not in setup.cfg's package_data"


def test_every_pattern_of_data_finds_a_file() -> None:
    packages = in_tree()
    for name, value in SETUP["options.package_data"].items():
        for pattern in re.split(r"\s*,\s*", value.strip()):
            assert any(path.is_file() for path in packages[name].glob(pattern)), f"{name}: {pattern} finds nothing"


def requirements(name: str) -> dict[str, str]:
    """Package -> version, of a pinned file and those that it includes."""
    found: dict[str, str] = {}
    for line in lines((ROOT / "requirements" / name).read_text(encoding="utf-8")):
        if line.startswith("-r "):
            found |= requirements(line[3:].strip())
        else:
            package, version = line.split("==")
            found[canonical(package)] = version
    return found


def canonical(package: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", package)[0]).lower()


def test_the_test_environment_pins_every_dependency_and_extra() -> None:
    pinned = requirements("test.txt")
    extras = SETUP["options.extras_require"]
    wanted = {canonical(line) for text in (SETUP["options"]["install_requires"], *extras.values()) for line in lines(text)}
    same = {"tensorflow-cpu": "tensorflow"}  # one package under two names
    assert {same.get(name, name) for name in wanted} <= set(pinned)


def test_the_demos_environment_pins_the_base_and_nothing_of_an_extra() -> None:
    pinned = set(requirements("demo.txt"))
    base = {canonical(line) for line in lines(SETUP["options"]["install_requires"])}
    extras = {name: text for name, text in SETUP["options.extras_require"].items() if name != "dev"}  # torch itself needs some of its tools
    extra = {canonical(line) for text in extras.values() for line in lines(text)}
    assert base <= pinned
    assert not (extra - base - {"setuptools"}) & pinned
