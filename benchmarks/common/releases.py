"""The releases that are measured: one of random weights, made by TensorFlow in a process of its own, and the embedded one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stylexport.checkpoints import EMBEDDED
from stylexport.converter.output.convert import convert
from stylexport.loading import load

if TYPE_CHECKING:
    from stylexport.torch_models import StylEx


def random_release(folder: Path, *options: str) -> Path:
    """`folder` with SavedModel folders of random weights: of full size (256 px), or as the options of `random_release` say."""
    command = [sys.executable, "-m", "stylexport.reference_tf.release.random_release", str(folder), "--no-zip", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    return folder


def embedded_stylex() -> StylEx:
    """The embedded release in PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        convert(EMBEDDED, Path(folder) / "converted")
        return load(Path(folder) / "converted")
