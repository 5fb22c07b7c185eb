"""Every example in a docstring runs, every public name has one, and what the documents import and name exists."""

from __future__ import annotations

import ast
import configparser
import doctest
import importlib
import inspect
import io
import pkgutil
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

NO_TENSORFLOW = not (find_spec("tensorflow") and find_spec("tf_keras"))


def packages() -> list[str]:
    """All packages of the installed StylExport, as setup.cfg lists them (tests/test_arrows.py holds that list against the tree)."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup["options"]["packages"].split()


def modules() -> Iterator[tuple[str, Path]]:
    """Name and source file of every installed module. Nothing but the packages themselves is imported for it."""
    for package in packages():
        spec = find_spec(package)
        assert spec is not None, f"{package} is not installed"
        assert spec.origin is not None
        yield package, Path(spec.origin)
        for found in pkgutil.iter_modules(spec.submodule_search_locations):
            if not found.ispkg:
                yield f"{package}.{found.name}", Path(spec.origin).parent / f"{found.name}.py"


def docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str, int]]:
    """Name, docstring and line of a module and of everything that is defined in it, at any depth."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (text := ast.get_docstring(node)):
        yield name, text, node.body[0].lineno
    for child in ast.iter_child_nodes(node):
        inner = f"{name}.{child.name}" if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) else name
        yield from docstrings(child, inner)


# (module, object, docstring, file, line) of every docstring that holds an example. The source is read, and not the imported
# objects asked: no decorator hides a docstring, and collecting costs no framework.
EXAMPLES = [
    pytest.param(module, name, text, path, line, id=name)
    for module, path in modules()
    for name, text, line in docstrings(ast.parse(path.read_text()), module)
    if doctest.DocTestParser().get_examples(text)
]


def requires_tensorflow(module: str) -> bool:
    return module.startswith("stylexport.reference_tf")


@pytest.mark.parametrize(("module", "name", "text", "path", "line"), EXAMPLES)
def test_the_example_gives_what_it_says(
    module: str, name: str, text: str, path: Path, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if requires_tensorflow(module) and NO_TENSORFLOW:
        pytest.skip("needs the extra [tensorflow]")
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(text, dict(vars(importlib.import_module(module))), name, str(path), line)
    said = io.StringIO()
    failed = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.write).failed
    assert not failed, said.getvalue()


def public_names() -> Iterator[str]:
    """What `stylexport` and each room offer: the names in the `__all__` of their `__init__`."""
    rooms = [package for package in packages() if package.count(".") <= 1]
    for room in sorted(rooms):
        yield from (f"{room}.{name}" for name in getattr(importlib.import_module(room), "__all__", ()))


def has_example(thing: object) -> bool:
    return bool(doctest.DocTestParser().get_examples(inspect.cleandoc(thing.__doc__ or "")))


def test_every_public_name_has_an_example() -> None:
    lacking = []
    for name in public_names():
        room, _, last = name.rpartition(".")
        if requires_tensorflow(room) and NO_TENSORFLOW:
            continue
        thing = getattr(importlib.import_module(room), last)
        if (inspect.isroutine(thing) or inspect.isclass(thing)) and not has_example(thing):
            lacking.append(name)
    assert not lacking, f"{len(lacking)} public names have no example in their docstring: {', '.join(lacking)}"


def python_blocks(document: Path) -> Iterator[tuple[int, str]]:
    """First line and text of every block of Python in a document: fenced as python, or indented and with an import in it."""
    block: list[str] = []
    fence, start = "", 0
    for number, line in enumerate([*document.read_text().splitlines(), ""], start=1):
        if fence:
            if line.startswith("```"):
                if fence == "```python":
                    yield start, "\n".join(block)
                fence, block = "", []
            else:
                block.append(line)
        elif line.startswith("```"):
            fence, block, start = line.strip(), [], number + 1
        elif line.startswith("    ") or (block and not line.strip()):
            start = start if block else number
            block.append(line[4:])
        else:
            if any(re.match(r"(from \S+ )?import ", code) for code in block):
                yield start, "\n".join(block)
            block = []


BLOCKS = [
    pytest.param(document, line, text, id=f"{document.name}:{line}") for document in DOCUMENTS for line, text in python_blocks(document)
]


@pytest.mark.parametrize(("document", "line", "text"), BLOCKS)
def test_python_in_the_documents_can_be_read_and_finds_its_imports(document: Path, line: int, text: str) -> None:
    for node in ast.walk(ast.parse("\n" * (line - 1) + text, str(document))):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        place = f"{document.name}:{node.lineno}"
        for module in [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]:
            top = module.partition(".")[0]
            assert find_spec(top), f"{place}: no module {module}"
            assert top == "stylexport" or not (ROOT / top).is_dir(), f"{place}: {module} is imported as stylexport.{module}"
            if requires_tensorflow(module) and NO_TENSORFLOW:
                continue
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                assert hasattr(importlib.import_module(module), alias.name), f"{place}: {module} has no {alias.name}"


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "Makefile"], ids=lambda document: document.name)
def test_programs_and_tests_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text()
    for module in re.findall(r"-m ((?:stylexport|benchmarks)(?:\.\w+)*)", text):
        assert find_spec(module), f"{document.name}: python -m {module}"
    for path in re.findall(r"\b(?:tests|benchmarks|checkpoints|requirements|docs)/[\w/.-]*\.\w+", text):
        assert (ROOT / path).exists(), f"{document.name}: {path}"


def test_the_examples_were_found() -> None:
    assert EXAMPLES
    assert BLOCKS
