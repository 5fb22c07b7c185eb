"""`make kill-test`: kills commands at random moments, and has each go on to the bytes of one that nobody disturbed.

    python -m benchmarks.robustness.kill_test [--kills 20] [--seed 0] [--only train]

Half of the kills come at a random time, half at a random step on the file system, where a mistake would show; every second is SIGTERM, the
others SIGKILL. A run may succeed before it is killed, or be killed; whatever else it does is a failure. So is it when a file under its own
name is not whole, when after SIGTERM something hidden is left, when a converted folder names a network that is gone, when a process goes
on without its parent, and when the next run does not end in the same bytes with nothing left behind. Each number of a job draws from
(seed, job, number) alone, so that `--only JOB --number N` does one kill again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness.zygote import Ended, Kill, Run, Zygote

DEMO = Path(__file__).parents[2] / "checkpoints" / "demo"
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
TERMINATED = 128 + signal.SIGTERM
SETTINGS = """
data: {kind: folder, path: ../inputs/digits, resolution: 16, workers: 1, flip: false, held_out: 0.25}
model: {channels: [6, 4, 4], latent: 4, z: 4, hidden: 6, mapping_layers: 1}
losses: {path_length: 0}
run: {steps: 6, batch: 8, log_every: 1, checkpoint_every: 2, stuck_after: 0}
metrics: {images: 4}
"""


@dataclass(frozen=True)
class Job:
    """A command that writes `target`; `modules` are what it imports. `before` makes what is there before it begins."""

    arguments: Sequence[str]
    target: str
    modules: Sequence[str]
    before: Callable[[Path], None] = lambda folder: None

    def again(self, folder: Path) -> Sequence[str]:
        """What a user says after it was killed."""
        resumes = self.arguments[0] == "train" and (folder / self.target / "settings.yaml").is_file()
        return [*self.arguments, "--resume"] if resumes else self.arguments


def _converted_before(folder: Path) -> None:
    """A converted folder that lacks a network and has others in place of those that come."""
    shutil.copytree(folder.parent / "inputs" / "other", folder / "out")


TORCH = ["stylexport.cli", "stylexport.attfind.api", "stylexport.converter.output.convert"]
TRAIN = ["stylexport.training.loop", "stylexport.commands.train", "lpips", "torch._dynamo", "torch.utils.tensorboard", "scipy.linalg"]
JOBS = {
    "record": Job(
        ["record", str(DEMO), "--network", "encoder", "--samples", "1", "-o", "out.safetensors"],
        "out.safetensors",
        ["stylexport.cli", "stylexport.reference_tf.record.record_release"],
    ),
    "effects": Job(
        [
            "attfind",
            "effects",
            "../inputs/converted",
            "--latents",
            str(DEMO / "dlatents.pkl"),
            "--limit",
            "3",
            "--batch",
            "64",
            "-o",
            "out",
        ],
        "out",
        TORCH,
    ),
    "train": Job(["train", "../inputs/settings.yaml", "-o", "out", "--from", "../inputs/converted", "--device", "cpu"], "out", TRAIN),
    "convert": Job(["convert", str(DEMO), "-o", "out"], "out", TORCH[::2]),
    "convert-again": Job(["convert", str(DEMO), "-o", "out", "--labels", "8,9"], "out", TORCH[::2], _converted_before),
}


def main() -> int:
    """The program. Returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each command [20]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=JOBS, action="append", help="this command; may be repeated")
    parser.add_argument("--number", type=int, help="this kill alone")
    chosen = parser.parse_args()
    numbers = range(chosen.kills) if chosen.number is None else [chosen.number]
    names = chosen.only or list(JOBS)
    if len(names) > 1:  # each a process of its own, two at a time
        command = [sys.executable, "-m", "benchmarks.robustness.kill_test", "--kills", str(chosen.kills), "--seed", str(chosen.seed)]
        with ThreadPoolExecutor(2) as pool:
            return max(pool.map(lambda name: subprocess.run([*command, "--only", name], check=False).returncode, names))
    failures = []
    with tempfile.TemporaryDirectory(prefix="kill-test-") as folder:
        _prepare(Path(folder) / "inputs")
        for name in names:
            failures += _job(name, Path(folder), numbers, chosen.seed)
    return int(bool(failures))


def _prepare(inputs: Path) -> None:
    """Converted networks, others of the same roles, digits and settings, which no job writes to."""
    inputs.mkdir()
    with Zygote(TORCH[::2]) as zygote:
        for name, labels in (("converted", "8,9"), ("other", "one,two")):
            arguments = ["convert", str(DEMO), "-o", name, "--labels", labels, "--dtype", "float32" if name == "converted" else "float16"]
            assert zygote.run(Run(arguments, inputs, inputs / "log.txt")).code == 0, (inputs / "log.txt").read_text()
    shutil.rmtree(inputs / "other" / "encoder")
    index = json.loads((inputs / "other" / "stylex.json").read_text())
    del index["networks"]["encoder"], index["sources"]["encoder"]
    (inputs / "other" / "stylex.json").write_text(json.dumps(index))
    _digits(inputs / "digits")
    (inputs / "settings.yaml").write_text(SETTINGS)


def _digits(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    with np.load(DEMO / "digits.npz") as file:
        for i, (image, label) in enumerate(zip(file["images"][:48], file["labels"][:48], strict=True)):
            (folder / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / str(label) / f"{i}.png")


def _job(name: str, work: Path, numbers: Sequence[int], seed: int) -> list[str]:
    """Kills a command by each number, prints the counts of what came of it, and returns the failures."""
    job, counts, failures, began = JOBS[name], Counter[str](), [], time.monotonic()
    with Zygote(job.modules) as zygote:
        for _ in range(2):  # the first fills the cache, and does not tell the time
            shutil.rmtree(work / "whole", ignore_errors=True)
            trial = Trial(job, zygote, work, "whole")
            whole = trial.run(job.arguments)
            assert whole.code == 0, trial.log.read_text()
        wanted = trial.written()
        for number in numbers:
            trial = Trial(job, zygote, work, f"{name}-{number}")
            try:
                counts[trial.kill(whole, random.Random(f"{seed} {name} {number}"), SIGNALS[number % 2], wanted)] += 1
            except (AssertionError, TimeoutError) as error:
                counts["FAILED"] += 1
                again = f"python -m benchmarks.robustness.kill_test --seed {seed} --only {name} --number {number}"
                failures.append(f"{name} {number}: {error} ({again})")
                print(f"FAILED {failures[-1]}", file=sys.stderr, flush=True)
            shutil.rmtree(trial.folder)
        shutil.rmtree(work / "whole")
    found = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    took = time.monotonic() - began
    print(
        f"{name} ({whole.seconds:.1f} s, {whole.steps} steps): {len(numbers)} kills: {found}; seed {seed}, {took:.0f} s in all", flush=True
    )
    return failures


class Trial:
    """A command in a folder of its own, with its own place for temporary files."""

    def __init__(self, job: Job, zygote: Zygote, work: Path, name: str) -> None:
        self.job, self.zygote, self.folder = job, zygote, work / name
        self.log, self.temporary = self.folder / "log.txt", self.folder / "temporary"
        self.cache = work / "inputs" / "cache"  # for all: what metrics download is downloaded once
        self.temporary.mkdir(parents=True)
        job.before(self.folder)

    def run(self, arguments: Sequence[str], kill: Kill | None = None) -> Ended:
        """Runs `stylexport` to its end, or kills it. Raises AssertionError where it leaves a process behind."""
        environment = {"TMPDIR": str(self.temporary), "XDG_CACHE_HOME": str(self.cache)}
        ended = self.zygote.run(Run(arguments, self.folder, self.log, environment, kill))
        assert not ended.orphans, f"left processes {ended.orphans} behind"
        return ended

    def kill(self, whole: Ended, draw: random.Random, number: int, wanted: dict[str, str]) -> str:
        """One kill, and the next run. Returns how it ended, raises AssertionError where that is not right."""
        by_step = draw.random() < 0.5
        moment = Kill(number, step=draw.randint(1, whole.steps)) if by_step else Kill(number, draw.uniform(0, whole.seconds))
        ended = self.run(self.job.arguments, moment)
        said = self.log.read_text() if self.log.exists() else ""
        assert ended.code in (0, -number, TERMINATED), f"{moment}: exit code {ended.code}: {said}"
        assert "Traceback" not in said, f"{moment}: {said}"
        if ended.code == TERMINATED:
            assert not (left := self.left_behind()), f"{moment}: SIGTERM left {left}"
        assert not (half := self.half_written()), f"{moment}: half-written {half}"
        self.check_index(f"{moment}")
        if ended.code:
            after = self.run(self.job.again(self.folder))
            assert after.code == 0, f"{moment}: the next run ended with {after.code}: {self.log.read_text()}"
        found = self.written()
        assert not (left := self.left_behind()), f"{moment}: left {left}"
        other = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        assert not other, f"{moment}: other bytes in {other}"
        return {0: "ended before", TERMINATED: "terminated", -signal.SIGTERM: "ended by SIGTERM at once"}.get(ended.code, "killed")

    def left_behind(self) -> list[str]:
        """What is hidden in the folder, and every temporary file. A lock is no leftover."""
        hidden = [path for path in self.folder.rglob(".*") if path.suffix != ".lock"]
        return [str(path.relative_to(self.folder)) for path in [*hidden, *self.temporary.iterdir()]]

    def half_written(self) -> list[str]:
        """The files under their own names, in no hidden folder, that do not open as what their names say."""
        target = self.folder / self.job.target
        shown = [target, *target.rglob("*")] if target.exists() else []
        shown = [path for path in shown if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self.folder).parts)]
        return [str(path.relative_to(self.folder)) for path in shown if not is_whole(path)]

    def check_index(self, moment: str) -> None:
        """Raises AssertionError where stylex.json names a network that is not there."""
        there = [path for path in self.folder.rglob("stylex.json") if not path.parent.name.startswith(".")]
        for index in there:  # in a hidden folder it is a journal, or half-written
            for place in json.loads(index.read_text())["networks"].values():
                for file in ("config.json", "model.safetensors"):
                    assert (index.parent / place / file).is_file(), f"{moment}: {index} names {place}, which lacks {file}"

    def written(self) -> dict[str, str]:
        """The digests of the target's files, without what tells the time: the pace in a log, TensorBoard's events."""
        target = self.folder / self.job.target
        files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
        return {str(path.relative_to(self.folder)): hashlib.sha256(_timeless(path)).hexdigest() for path in files}


def is_whole(path: Path) -> bool:
    """Whether a file opens as what its name says; an empty one does not, but for a log."""
    import h5py
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "np"):
                pass
        elif path.suffix == ".h5":
            h5py.File(path, "r").close()
        elif path.suffix in (".npy", ".npz"):
            found = np.load(path)
            if isinstance(found, np.lib.npyio.NpzFile):
                with found:
                    assert all(found[name] is not None for name in found.files)
        elif path.suffix in (".json", ".jsonl"):
            for text in [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines():
                json.loads(text)
        return path.stat().st_size > 0 or path.suffix == ".jsonl"
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, SafetensorError):
        return False


def _timeless(path: Path) -> bytes:
    if path.name != "log.jsonl":
        return path.read_bytes()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return json.dumps([{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]).encode()


if __name__ == "__main__":
    sys.exit(main())
