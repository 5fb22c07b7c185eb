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
