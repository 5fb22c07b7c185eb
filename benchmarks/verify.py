"""The proof: its time against the bare forward passes that it needs, and whether it ever rejects a correct conversion.

    python -m benchmarks.verify                    time of the proof over the time of every network run once in float32 and once in float64
    python -m benchmarks.verify --ports 50         false alarms: so many correct conversions of random releases, each verified

The time: a release of 256 px is made and recorded first (minutes) unless --release names one. False alarms: sizes and seeds are drawn from
--seed, resolutions 8 to 64, latents and labels of several lengths, widths of the classifier; one line a port, then the largest figures
that any of them reached. Exit code 1 where the ratio is above its target or a correct conversion did not pass.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from benchmarks.common.releases import random_release
from benchmarks.common.timing import seconds
from stylexport.converter.output.convert import convert
from stylexport.converter.output.recording import Recording
from stylexport.parity.open_ports import converted_ports
from stylexport.parity.original import Original
from stylexport.parity.proof import verify
from stylexport.parity.result import Report
from stylexport.subprocess_record import record_in_subprocess

TARGET = 3.0


def bare(converted: Path, recording: Path) -> float:
    """Seconds of every network's forward pass in float32 and in float64; loading and changing of precision are not counted."""
    opened, (ports, _) = Recording(recording), converted_ports(converted)
    total = 0.0
    for name, network in opened.networks.items():
        original = Original(opened, network, torch.device("cpu"))
        for dtype in (torch.float32, torch.float64):
            module, inputs = ports[name].module.to(dtype), original.inputs(dtype)
            with torch.no_grad():
                total += seconds(partial(ports[name].run, module, inputs))
    return total


def recorded(release: Path, work: Path, *options: str) -> tuple[Path, Path]:
    """The release's conversion and its recording, both written into `work`."""
    converted, recording = work / "converted", work / "recording"
    convert(release, converted)
    record_in_subprocess([release], recording, list(options))
    return converted, recording


def time_of_proof(release: Path | None, resolution: int) -> int:
    """Prints the ratio. Returns 0 where it is within its target, else 1."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        converted, recording = recorded(release or random_release(work / "release", "--resolution", str(resolution)), work)
        bare(converted, recording)  # the first run pays for kernels that are chosen
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


def figures(report: Report) -> list[float]:
    """The largest error of a layer alone, of a layer in the chain over what it is allowed, and in float32 over the rounding floor."""
    return [
        max(layer.alone or 0.0 for layer in report.layers),
        max((layer.error64 or 0.0) / layer.allowed64 for layer in report.layers),
        max(layer.ratio or 0.0 for layer in report.layers),
    ]


def false_alarms(ports: int, seed: int) -> int:
    """Prints a line a port. Returns 0 where every one passed, else 1."""
    draw = random.Random(seed)
    alarms, largest = 0, [0.0, 0.0, 0.0]
    for number in range(ports):
        options, start = sizes(draw), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            release = random_release(Path(folder) / "release", *options)
            report = verify(*recorded(release, Path(folder), "--seed", str(draw.randrange(10**6))))
        own = figures(report)
        largest = [max(pair) for pair in zip(largest, own, strict=True)]
        alarms += report.verdict != "pass"
        errors = f"alone {own[0]:.1e}, chain {own[1]:.2f} of what is allowed, float32 {own[2]:.2f} x floor"
        counted = f"{number + 1:3} {report.verdict:10} {report.matched}/{report.taps} taps"
        print(f"{counted}, {errors}, {time.perf_counter() - start:.0f} s  {' '.join(options)}", flush=True)
    print(f"{ports} correct ports, {alarms} false alarms; at most {largest[0]:.1e} alone (limit 1e-07), ", end="")
    print(f"{largest[1]:.2f} of what the chain is allowed, {largest[2]:.2f} times the rounding floor (limit 8)")
    return 1 if alarms else 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256, help="of the release that is timed (default 256)")
    parser.add_argument("--release", type=Path, help="time the proof of this release, instead of one made here")
    parser.add_argument("--ports", type=int, help="count false alarms on so many correct ports, instead of timing")
    parser.add_argument("--seed", type=int, default=1, help="with --ports: what sizes are drawn from (default 1)")
    given = parser.parse_args()
    return false_alarms(given.ports, given.seed) if given.ports else time_of_proof(given.release, given.resolution)


if __name__ == "__main__":
    sys.exit(main())
