"""The proof's time against the bare forward passes it needs: every network once in float32 and once in float64, on the same inputs.

As a command: python -m benchmarks.verify [--resolution 256] [--release PATH] prints both times and their ratio, measured in one run.
A release is made and recorded first (minutes at 256 px) unless one is given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from stylexport.converter.output.convert import convert
from stylexport.converter.output.recording import Recording
from stylexport.parity.open_ports import converted_ports
from stylexport.parity.original import Original
from stylexport.parity.verify import verify
from stylexport.subprocess_record import record_in_subprocess

TARGET = 3.0


def bare(converted: Path, recording: Path) -> float:
    """Seconds of every network's forward pass in float32 and in float64, networks loaded and converted beforehand."""
    opened, (ports, _) = Recording(recording), converted_ports(converted)
    total = 0.0
    for name, network in opened.networks.items():
        original = Original(opened, network, torch.device("cpu"))
        for dtype in (torch.float32, torch.float64):
            module, inputs = ports[name].module.to(dtype), original.inputs(dtype)
            with torch.no_grad():
                start = time.perf_counter()
                ports[name].run(module, inputs)
                total += time.perf_counter() - start
    return total


def main() -> int:
    """The command. Returns 0 where the ratio is within its target, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--release", type=Path, help="a release that is there, instead of one made here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        release = given.release or Path(work) / "release"
        if given.release is None:
            command = [
                sys.executable,
                "-m",
                "stylexport.reference_tf.release.random_release",
                str(release),
                "--resolution",
                str(given.resolution),
                "--no-zip",
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        converted, recording = Path(work) / "converted", Path(work) / "recording"
        convert(release, converted)
        record_in_subprocess([release], recording, [])
        bare(converted, recording)  # once for warmth
        forwards = bare(converted, recording)
        start = time.perf_counter()
        report = verify(converted, recording)
        whole = time.perf_counter() - start
    ratio = whole / forwards
    worst = max(report.layers, key=lambda layer: layer.ratio or 0.0)
    print(f"{report.verdict}: {report.matched} of {report.taps} taps; largest error alone {max(x.alone or 0.0 for x in report.layers):.1e}")
    print(f"largest float32 error over the floor: {worst.ratio:.2f} ({worst.network} {worst.name})")
    print(f"verify {whole:.1f} s, bare forwards in float32 and float64 {forwards:.1f} s: {ratio:.2f} times (target {TARGET:.0f})")
    return 0 if ratio <= TARGET and report.verdict == "pass" else 1


if __name__ == "__main__":
    sys.exit(main())
