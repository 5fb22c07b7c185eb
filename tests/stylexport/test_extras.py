"""A command whose extra is not installed says which, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("command", ["train settings.yaml", "classifier train"])
def test_training_without_its_extra_names_it(command: str, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pydantic'] = None; from stylexport.cli import main; "
        f"sys.argv = ['stylexport', *{command.split()!r}, '-o', {str(tmp_path / 'out')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"stylexport: error: {command.removesuffix(' settings.yaml')} needs pydantic: pip install 'stylexport[train]'\n"


def test_a_study_is_not_analysed_without_its_extra(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['simplemma'] = None; from stylexport.cli import main; "
        "sys.argv = ['stylexport', 'study', 'analyse', 'x']; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "stylexport: error: study analyse needs simplemma: pip install 'stylexport[studies]'\n"


@pytest.mark.parametrize(
    ("name", "package", "extra"), [("record", "tensorflow", "tensorflow"), ("train", "pydantic", "train"), ("train", "accelerate", "train")]
)
def test_a_public_name_names_its_extra(name: str, package: str, extra: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None\nfrom stylexport import {name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: stylexport.{name} needs {package}: pip install 'stylexport[{extra}]'"
