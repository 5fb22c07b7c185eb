"""Recording in a process of its own: TensorFlow and PyTorch need not share one, and its memory is given back when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylexport.common.errors import BadInput, IncompleteCoverage
from stylexport.common.types import Progress
from stylexport.console import QUIET, steps_progress


@contextlib.contextmanager
def recorded(recording: Path | None, releases: Sequence[str | Path], options: Sequence[str]) -> Iterator[Path]:
    """The recording that is named, or one made of the release with these options, which lasts as long as the block."""
    if recording is not None:
        yield recording
        return
    with tempfile.TemporaryDirectory(prefix="stylexport-") as folder:
        file = Path(folder) / "recording.safetensors"
        with steps_progress() as progress:
            record_apart(releases, file, options, progress)
        yield file


def record_apart(release: Sequence[str | Path], out: Path, options: Sequence[str], progress: Progress | None = None) -> None:
    """Runs `python -m stylexport.reference_tf.record` and passes its progress on. Raises the error that it tells, with its exit
    code.
    """
    command = [sys.executable, "-m", "stylexport.reference_tf.record", *map(str, release), "-o", str(out), *options]
    settings = {**os.environ, **QUIET, "CUDA_VISIBLE_DEVICES": "-1"}
    error: str | None = None
    with tempfile.TemporaryFile("w+") as log:  # no pipe: one that nobody empties would stop the process when it is full
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=settings)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said = json.loads(line) if line.startswith("{") else {}
                if "error" in said:
                    error = str(said["error"])
                elif "done" in said and progress:
                    progress(said["network"], said["done"], said["total"])
            code = process.wait()
        finally:
            process.kill()
        log.seek(0)
        rest = log.read()
    if code == 0:
        return
    if error is not None:
        raise IncompleteCoverage(error) if code == IncompleteCoverage.exit_code else BadInput(error)
    if "No module named" in rest:
        missing = rest.rsplit("No module named", 1)[1].strip().strip("'\"")
        raise BadInput(
            f"recording needs TensorFlow ({missing} is missing): pip install 'stylexport[tensorflow]', or verify --against a recording"
        )
    last = next((line for line in reversed(rest.splitlines()) if line.strip()), "it said nothing")
    raise BadInput(f"recording stopped with exit code {code}: {last}")
