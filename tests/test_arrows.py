"""The rooms know each other one way only, no folder or module is in a circle, and no room imports a framework that it does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.packaging.test_packages import in_tree

# room -> what it may import, beside itself: rooms, or single modules of them
ARROWS = {
    "stylexport.common": set(),
    "stylexport.pages": {"stylexport.common"},
    "stylexport.checkpoints": {"stylexport.common"},
    "stylexport.converter": {
        "stylexport.common",
        "stylexport.torch_models.config",
        "stylexport.torch_models.kinds",
        "stylexport.torch_models.stylegan2_config",
    },
    "stylexport.torch_models": {"stylexport.common"},
    "stylexport.reference_tf": {
        "stylexport.common",
        "stylexport.converter",
        "stylexport.torch_models.config",
        "stylexport.torch_models.kinds",
        "stylexport.torch_models.stylegan2_config",
        "stylexport.checkpoints",
    },
    "stylexport.parity": {"stylexport.common", "stylexport.pages", "stylexport.converter", "stylexport.torch_models"},
    "stylexport.attfind": {
        "stylexport.common",
        "stylexport.pages",
        "stylexport.torch_models",
        # the readers of the authors' files: dlatents.pkl and their TFRecords
        "stylexport.converter.formats",
        "stylexport.converter.output.safetensors_file",
    },
    "stylexport.training": {
        "stylexport.common",
        "stylexport.pages",
        "stylexport.torch_models",
        "stylexport.attfind",
        "stylexport.checkpoints",
    },
}
FRONT = "stylexport"  # the command line and what it puts together: may import every room
# The folders of converter/: each may import those of its own rank and below.
RANKS = {"graph": 0, "formats": 1, "mapping": 2, "calls": 3, "output": 3}
FRAMEWORKS = {
    "stylexport.common": {"torch", "tensorflow", "tf_keras"},
    "stylexport.pages": {"torch", "tensorflow", "tf_keras"},
    "stylexport.converter": {"torch", "tensorflow", "tf_keras"},
    "stylexport.checkpoints": {"torch", "tensorflow", "tf_keras"},
    "stylexport.torch_models": {"tensorflow", "tf_keras"},
    "stylexport.reference_tf": {"torch"},
    "stylexport.parity": {"tensorflow", "tf_keras"},
    "stylexport.attfind": {"tensorflow", "tf_keras"},
    "stylexport.training": {"tensorflow", "tf_keras"},
    "stylexport": {"tensorflow", "tf_keras"},
}
MOST_MODULES = 12  # in a folder, beside its __init__
MOST_NAMESAKES = 2


@dataclass(frozen=True)
class Import:
    """One name that a module imports; `at_load`: when the module is loaded, not in a function and not for the type checker alone."""

    name: str
    at_load: bool


@cache
def modules() -> Mapping[str, Path]:
    """Module -> file, of every module that is installed."""
    found = {}
    for package, folder in in_tree().items():
        for path in folder.glob("*.py"):
            found[package if path.stem == "__init__" else f"{package}.{path.stem}"] = path
    return found


@cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports, each as the longest name that is a module, or as written where it is none of ours."""
    return tuple(Import(known(name), at_load) for name, at_load in _imports(ast.parse(modules()[module].read_text()), True))


def _imports(node: ast.AST, at_load: bool) -> Iterator[tuple[str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_load) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "imports are absolute"
            yield from ((f"{child.module}.{alias.name}", at_load) for alias in child.names)
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            yield from _imports(child, False)
        else:
            yield from _imports(child, at_load and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def known(name: str) -> str:
    """The module that a dotted name lies in; itself where it is not one of ours."""
    while name not in modules() and name.startswith("stylexport."):
        name = name.rpartition(".")[0]
    return name


def room(module: str) -> str:
    """The room of a module: the command line and its helpers are the front."""
    return next((name for name in ARROWS if within(module, name)), FRONT)


def within(module: str, package: str) -> bool:
    """Whether a module is a package or lies in it."""
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("name", ARROWS)
def test_arrows_run_one_way(name: str) -> None:
    for module in filter(lambda module: room(module) == name, modules()):
        for found in imports(module):
            if within(found.name, "stylexport") and room(found.name) != name:
                assert any(within(found.name, allowed) for allowed in ARROWS[name]), f"{module} imports {found.name}"


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_no_room_imports_a_framework_it_does_without(name: str) -> None:
    for module in filter(lambda module: room(module) == name, modules()):
        for found in imports(module):
            assert found.name.split(".")[0] not in FRAMEWORKS[name], f"{module} imports {found.name}"


def test_what_the_configurations_import_costs_no_framework() -> None:
    for module in ("stylexport.torch_models.config", "stylexport.torch_models"):
        assert not any(found.at_load and found.name.split(".")[0] == "torch" for found in imports(module)), module


def test_the_converters_folders_know_only_those_before_them() -> None:
    for module in filter(lambda module: room(module) == "stylexport.converter", modules()):
        for found in filter(lambda found: room(found.name) == "stylexport.converter", imports(module)):
            folder, other = (RANKS.get(name.split(".")[2]) for name in (f"{module}.", f"{found.name}.."))
            if folder is not None and other is not None:
                assert other <= folder, f"{module} imports {found.name}"


def circle(arrows: Mapping[str, set[str]]) -> list[str]:
    """A circle of names that lead to each other, or nothing."""
    done: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name not in done:
            for other in sorted(arrows.get(name, ())):
                if found := search(other, [*path, name]):
                    return found
            done.add(name)
        return []

    return next(filter(None, (search(name, []) for name in sorted(arrows))), [])


def test_no_module_is_in_a_circle() -> None:
    arrows = {module: {found.name for found in imports(module) if found.at_load and found.name != module} for module in modules()}
    assert not circle(arrows)


def test_no_folder_is_in_a_circle() -> None:
    """Of folders side by side. A folder and those inside it count as one from outside, and the modules beside a folder stand alone."""
    for parent in in_tree():
        arrows: dict[str, set[str]] = {}
        for module in filter(lambda module: within(module, parent) and module != parent, modules()):
            here = ".".join(module.split(".")[: parent.count(".") + 2])
            for found in imports(module):
                if found.at_load and within(found.name, parent) and found.name != parent:
                    there = ".".join(found.name.split(".")[: parent.count(".") + 2])
                    if there != here:
                        arrows.setdefault(here, set()).add(there)
        assert not circle(arrows), parent


def test_commands_import_the_rooms_only_when_they_run() -> None:
    for module in filter(lambda module: within(module, "stylexport.commands"), modules()):
        for found in imports(module):
            if found.at_load and within(found.name, "stylexport"):
                assert room(found.name) in (FRONT, "stylexport.common"), f"{module} imports {found.name}"


def test_no_folder_holds_more_modules_than_one_overlooks() -> None:
    counts = Counter(path.parent for path in modules().values() if path.stem != "__init__")
    assert not {str(folder): count for folder, count in counts.items() if count > MOST_MODULES}


def test_a_files_name_is_used_twice_at_most() -> None:
    counts = Counter(path.name for path in modules().values() if path.stem not in ("__init__", "__main__"))
    assert not {name: count for name, count in counts.items() if count > MOST_NAMESAKES}


@pytest.mark.parametrize(
    "program",
    [
        "import stylexport.cli",
        "import stylexport.verification",
        "import stylexport.converter.output.convert",
        "import stylexport.torch_models.config",
        "from stylexport import checkpoints; checkpoints.EMBEDDED",
        f"from stylexport.inspection import inspect; inspect({str(ROOT / 'checkpoints' / 'demo' / 'generator.savedmodel.zip')!r})",
        "import stylexport; stylexport.convert, stylexport.inspect",
    ],
)
def test_no_framework_is_loaded(program: str) -> None:
    check = f"{program}\nimport sys\nassert not {{'torch', 'tensorflow', 'keras', 'tf_keras'}} & set(sys.modules), 'a framework was loaded'"
    subprocess.run([sys.executable, "-c", check], check=True)
