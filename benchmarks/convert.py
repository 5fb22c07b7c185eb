"""Time and memory of a conversion, against the TensorFlow route and against a plain copy of the same files.

    python -m benchmarks.convert [RELEASE] [--repeats 5] [--json]

RELEASE is a folder of SavedModel folders; without one, a full-size release (256 px, random weights) is made first, which takes a minute.
Three routes over the same files, in turn, each in a process of its own, the median of the repeats:

    stylexport   the command `stylexport convert`: start-up, every checksum, SHA-256 of every file, layouts, ledger, fsync
    tensorflow   import TensorFlow, tf.saved_model.load of each network, its variables reordered as PyTorch has them, safetensors
    copy         copy the folders with fsync: what any program that writes so many bytes has to pay

Needs the extra [tensorflow].
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.common.releases import random_release
from benchmarks.common.timing import run_process

_CONVERT = "from stylexport.cli import main; main()"
_TENSORFLOW = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file
source, target = map(Path, sys.argv[1:])
target.mkdir()
AXES = {4: (3, 2, 0, 1), 2: (1, 0)}
for folder in sorted(source.glob("*.savedmodel")):
    model = tf.saved_model.load(str(folder))
    values = {v.name: np.asarray(v.numpy()) for v in model.variables}
    tensors = {name: np.ascontiguousarray(v.transpose(AXES[v.ndim])) if v.ndim in AXES else v for name, v in values.items()}
    save_file(tensors, target / f"{folder.stem}.safetensors")
"""
_COPY = """
import os, shutil, sys
from pathlib import Path
source, target = map(Path, sys.argv[1:])
shutil.copytree(source, target)
for path in target.rglob("*"):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
"""


def measure(release: Path, repeats: int, work: Path) -> dict[str, float]:
    """Medians of the three routes, which take turns so that a slow moment of the machine falls on all."""
    target = work / "out"
    routes: dict[str, Callable[[], list[str]]] = {
        "stylexport": lambda: [sys.executable, "-c", _CONVERT, "convert", str(release), "-o", str(target)],
        "tensorflow": lambda: [sys.executable, "-c", _TENSORFLOW, str(release), str(target)],
        "copy": lambda: [sys.executable, "-c", _COPY, str(release), str(target)],
    }
    times: dict[str, list[float]] = {name: [] for name in routes}
    peak: dict[str, float] = {}
    for _ in range(repeats):
        for name, command in routes.items():
            os.sync()
            seconds, memory = run_process(command())
            times[name].append(seconds)
            peak[name] = max(peak.get(name, 0.0), memory)
            shutil.rmtree(target)
    medians = {name: statistics.median(values) for name, values in times.items()}
    largest = max(sum(f.stat().st_size for f in d.rglob("*") if f.is_file()) for d in release.iterdir() if d.is_dir())
    return {
        **{f"{name}_seconds": value for name, value in medians.items()},
        "tensorflow_over_stylexport": medians["tensorflow"] / medians["stylexport"],
        "stylexport_over_copy": medians["stylexport"] / medians["copy"],
        "stylexport_peak_mb": peak["stylexport"],
        "tensorflow_peak_mb": peak["tensorflow"],
        "largest_network_mb": largest / 1e6,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        release = arguments.release or random_release(work / "release")
        found = measure(release, arguments.repeats, work)
    if arguments.json:
        print(json.dumps(found))
        return
    for name in ("stylexport", "tensorflow", "copy"):
        print(f"{name:12}{found[f'{name}_seconds']:8.2f} s")
    print(f"stylexport is {found['tensorflow_over_stylexport']:.1f} times faster than the TensorFlow route")
    print(f"stylexport takes {found['stylexport_over_copy']:.2f} times a plain copy with fsync")
    over = found["stylexport_peak_mb"] - found["largest_network_mb"]
    print(f"peak memory {found['stylexport_peak_mb']:.0f} MB: the largest network ({found['largest_network_mb']:.0f} MB) and {over:.0f} MB")


if __name__ == "__main__":
    main()
