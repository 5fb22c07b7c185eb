"""False alarms: right conversions of random releases of many sizes, each proved against a recording of its own release.

Sizes and seeds are drawn from --seed; resolutions 8 to 64, latents and labels of several lengths, widths of the classifier. Prints a line
a port and at the end how many passed, with the largest figures that any clean port reached.

    python -m benchmarks.clean_ports [--ports 50] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stylexport.converter.output.convert import convert
from stylexport.parity.result import Report
from stylexport.parity.verify import verify
from stylexport.subprocess_record import record_in_subprocess


def sizes(draw: random.Random) -> list[str]:
    """Options of `python -m stylexport.reference_tf.release.random_release` for one release."""
    resolution = draw.choice([8, 16, 32, 64])
    most = draw.choice([6, 10, 16, 24, 40])
    drawn = {
        "--resolution": resolution,
        "--base": resolution * draw.choice([3, 6, 12]),
        "--most": most,
        "--latent": draw.choice([8, 20, 32, 48]),
        "--labels": draw.choice([2, 2, 3, 5]),
        "--width": draw.choice([0.0625, 0.125, 0.25]),
        "--seed": draw.randrange(10**6),
        "--data-format": draw.choice(["NCHW", "NHWC"]),
    }
    return [text for name, value in drawn.items() for text in (name, str(value))]


def proved(options: list[str], seed: int) -> Report:
    """Makes, converts, records and verifies one release."""
    with tempfile.TemporaryDirectory() as work:
        release, converted, recording = (Path(work) / name for name in ("release", "converted", "recording"))
        command = [sys.executable, "-m", "stylexport.reference_tf.release.random_release", str(release), "--no-zip", *options]
        subprocess.run(command, check=True, capture_output=True)
        convert(release, converted)
        record_in_subprocess([release], recording, ["--seed", str(seed)])
        return verify(converted, recording)


def main() -> int:
    """The command. Returns 0 where every port passed, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clean_ports", description="Count false alarms on right ports.")
    parser.add_argument("--ports", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    alarms, largest = 0, [0.0, 0.0, 0.0]
    for number in range(given.ports):
        options, start = sizes(draw), time.perf_counter()
        report = proved(options, draw.randrange(10**6))
        own = [
            max(layer.alone or 0.0 for layer in report.layers),
            max((layer.error64 or 0.0) / layer.allowed64 for layer in report.layers),
            max(layer.ratio or 0.0 for layer in report.layers),
        ]
        largest = [max(pair) for pair in zip(largest, own, strict=True)]
        alarms += report.verdict != "pass"
        figures = f"alone {own[0]:.1e}, chain {own[1]:.2f} of what is allowed, float32 {own[2]:.2f} x floor"
        print(
            f"{number + 1:3} {report.verdict:10} {report.matched}/{report.taps} taps, {figures}, {time.perf_counter() - start:.0f} s",
            end="",
        )
        print(f"  {' '.join(options)}", flush=True)
    print(f"{given.ports} clean ports, {alarms} false alarms; at most {largest[0]:.1e} alone (limit 1e-07), ", end="")
    print(f"{largest[1]:.2f} of what the chain is allowed, {largest[2]:.2f} times the rounding floor (limit 8)")
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
