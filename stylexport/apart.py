"""Recording in a process of its own: TensorFlow and PyTorch need not share one, and its memory is given back when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from converter.errors import BadInput, IncompleteCoverage

Progress = Callable[[str, int, int], None]


def record_apart(release: Sequence[str | Path], out: Path, options: Sequence[str], progress: Progress | None = None) -> None:
    """Runs `python -m reference_tf.record` and passes its progress on. Raises the error that it tells, with its exit code."""
    command = [sys.executable, "-m", "reference_tf.record", *map(str, release), "-o", str(out), *options]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **quiet})
    assert process.stdout is not None
    assert process.stderr is not None
    error: str | None = None
    try:
        for line in process.stdout:
            said = json.loads(line) if line.startswith("{") else {}
            if "error" in said:
                error = str(said["error"])
            elif "done" in said and progress:
                progress(said["network"], said["done"], said["total"])
        rest = process.stderr.read()
        code = process.wait()
    finally:
        process.kill()
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
