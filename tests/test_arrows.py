"""The rooms know each other one way only, and no room imports a framework that it promises to do without."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# room -> the rooms that it may import
ARROWS = {
    "converter": {"converter", "stylexport.torch_models.config"},
    "torch_models": {"torch_models"},
    "reference_tf": {"reference_tf", "converter", "stylexport.torch_models.config", "stylexport.checkpoints.mnist"},
    "checkpoints": {"checkpoints", "converter"},
    "parity": {"parity", "converter", "torch_models"},
    "perceptual": {"perceptual", "converter"},
    "attfind": {"attfind", "converter", "torch_models", "stylexport.pages.render", "perceptual"},
    "training": {"training", "converter", "torch_models", "attfind", "perceptual", "checkpoints"},
    "stylexport": {"stylexport", "converter", "torch_models", "reference_tf", "checkpoints", "parity", "attfind", "perceptual", "training"},
}
FRAMEWORKS = {
    "converter": {"torch", "tensorflow", "tf_keras"},
    "torch_models": {"tensorflow", "tf_keras"},
    "reference_tf": {"torch"},
    "checkpoints": {"torch", "tensorflow", "tf_keras"},
    "parity": {"tensorflow", "tf_keras"},
    "perceptual": {"tensorflow", "tf_keras"},
    "attfind": {"tensorflow", "tf_keras"},
    "training": {"tensorflow", "tf_keras"},
    "stylexport": {"tensorflow", "tf_keras"},
}


def imports(room: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module


@pytest.mark.parametrize("room", ARROWS)
def test_arrows_run_one_way(room: str) -> None:
    for path, module in imports(room):
        top = module.split(".")[0]
        if top in ARROWS:
            assert any(module == allowed or module.startswith(f"{allowed}.") for allowed in ARROWS[room]), f"{path} imports {module}"


@pytest.mark.parametrize("room", FRAMEWORKS)
def test_no_room_imports_a_framework_it_does_without(room: str) -> None:
    for path, module in imports(room):
        assert module.split(".")[0] not in FRAMEWORKS[room], f"{path} imports {module}"


@pytest.mark.parametrize(
    "program",
    [
        "import stylexport.cli",
        "import stylexport.converter.output.convert",
        "from stylexport.inspection import inspect; inspect('checkpoints/demo/generator.savedmodel.zip')",
        "import stylexport; stylexport.convert, stylexport.inspect",
    ],
)
def test_no_framework_is_loaded(program: str) -> None:
    check = f"{program}\nimport sys\nassert not {{'torch', 'tensorflow', 'keras', 'tf_keras'}} & set(sys.modules), 'a framework was loaded'"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT)
