"""TensorFlow and PyTorch live in one process, in whatever order a user asks for them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "program",
    [
        "from stylexport import record, AttFind, train; import torch._inductor.codecache",  # recording before anything of PyTorch
        "import tensorflow; from stylexport import record",  # in a notebook that has TensorFlow already
    ],
)
def test_any_order_of_imports(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
