"""TensorFlow and PyTorch live in one process, in whatever order a user asks for them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.tensorflow
def test_recording_is_imported_before_anything_of_pytorch() -> None:
    program = "from stylexport import record, AttFind, train; import torch._inductor.codecache"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
