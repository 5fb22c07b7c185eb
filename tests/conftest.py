"""What all rooms' tests share: the embedded release, converted once, and the command line run in this process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# The tests' tensors are small: threads would only wait for each other, the longer the busier the machine is.
os.environ.setdefault("OMP_NUM_THREADS", "1")

with contextlib.suppress(ImportError):
    import triton  # noqa: F401  before TensorFlow, whose LLVM keeps it from loading

from stylexport.checkpoints import EMBEDDED
from stylexport.cli import main
from stylexport.converter.output.convert import convert
from tests.basic_pitch import unpack

ROOT = Path(__file__).parents[1]
# Whose claims depend on the processor's arithmetic: the proof, the kernels, and what compares PyTorch with TensorFlow. Single files
# elsewhere carry the marker themselves.
PROCESSOR = ("parity", "reference_tf", "torch_models", "converter/mapping")
# TensorFlow asks the processor itself whether oneDNN has kernels of 16 bits there: told to take a plainer one, oneDNN has none.
NOT_PLAIN = ("reference_tf/record/test_half.py",)
DEMO = EMBEDDED


@dataclass(frozen=True)
class Ran:
    """A finished command: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def one_line_error(self) -> str:
        """The error, which must be a single line of the tool's own."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("stylexport: error: "), self.err
        assert "Traceback" not in self.out + self.err
        return lines[0]


def run(*arguments: str | Path) -> Ran:
    """`stylexport` with arguments, in this process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["stylexport", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as leave:
            main()
    finally:
        sys.argv = before
    return Ran(int(leave.value.code or 0), out.getvalue(), err.getvalue())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of those folders, before options such as `-m processor` select."""
    for item in items:
        path = item.path.relative_to(ROOT / "tests").as_posix() if item.path.is_relative_to(ROOT) else ""
        if path.startswith(PROCESSOR) and path not in NOT_PLAIN:
            item.add_marker("processor")


@pytest.fixture(scope="session")
def demo() -> Path:
    """The embedded release: four zips and the latents."""
    return DEMO


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded release converted; not to be written to."""
    folder = tmp_path_factory.mktemp("demo") / "converted"
    convert(DEMO, folder)
    return folder


@pytest.fixture(scope="session")
def basic_pitch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the models of basic-pitch 0.4.0; the wheel is fetched once and kept in pytest's cache."""
    return unpack(request.config.cache.mkdir("basic-pitch"), tmp_path_factory.mktemp("basic-pitch"))
