"""Harms files of every format, thousands of times, and counts what comes of it.

    make fuzz                                            # 10,000 mutations
    python -m benchmarks.robustness.fuzz --count 1000 --seed 3
    python -m benchmarks.robustness.fuzz --seed 3 --only 417        # one mutation again: what was done, and all that was said

hypothesis draws the mutations, in batches that a seed and a number give again. Each is read by StylExport in a process of its own. A clear
error is good, and so is success; of a file under checksums only if the numbers are the same. Anything else fails.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.robustness.judge import BAD, GOOD, in_child, read, verdict
from benchmarks.robustness.mutations import Edit, edits, harm
from benchmarks.robustness.subjects import SUBJECTS, lay_out

BATCH = 100
PLACES = [(name, file) for name, subject in SUBJECTS.items() for file in subject.files]


@dataclass(frozen=True)
class Mutation:
    """Number `number` of a seed: what is done to which file of which subject."""

    number: int
    subject: str
    file: str
    changes: tuple[Edit, ...]

    def __str__(self) -> str:
        return f"{self.subject}, {self.file}: {', '.join(map(str, self.changes))}"


def draw(base: int, batch: int) -> list[Mutation]:
    """A batch of mutations, the same each time. It goes through all files in turn, so that none is left out."""
    drawn: list[tuple[Edit, ...]] = []

    @seed(base * 1_000_003 + batch)
    @settings(max_examples=BATCH, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(edits, min_size=1, max_size=2))
    def collect(changes: list[Edit]) -> None:
        drawn.append(tuple(changes))

    collect()
    order = random.Random(f"{base} {batch}").sample(range(len(PLACES)), len(PLACES))
    found = []
    for i, changes in enumerate(drawn[:BATCH]):
        name, file = PLACES[order[i % len(order)]]
        found.append(Mutation(batch * BATCH + i, name, file, changes))
    return found


def judge(mutation: Mutation, unharmed: Path, values: dict[str, str], keep: Path | None = None) -> dict[str, str]:
    """Does it to a copy, has it read, and says what came of it: {"outcome", "said"}."""
    subject = SUBJECTS[mutation.subject]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        folder = Path(work) / subject.folder
        shutil.copytree(unharmed / subject.folder, folder)
        anew = harm(folder, mutation.file, mutation.changes)
        if keep is not None:
            shutil.copytree(folder, keep, dirs_exist_ok=True)
        sealed = mutation.file in subject.sealed and not anew
        found = in_child(lambda: read(subject, folder))
        found["outcome"] = verdict(found, values[mutation.subject], sealed)
    return found


def lane(place: int, lanes: int, base: int, count: int, unharmed: Path, values: dict[str, str], answers: SimpleQueue[str]) -> None:
    """One of several processes: every `lanes`-th batch."""
    gc.freeze()
    for batch in range(place, -(-count // BATCH), lanes):
        for mutation in draw(base, batch):
            if mutation.number < count:
                answers.put(json.dumps([mutation.number, str(mutation), mutation.subject, judge(mutation, unharmed, values)]))
    answers.put("")


def unharmed_values(unharmed: Path) -> dict[str, str]:
    """What each subject gives as it is. Raises AssertionError where one is not read."""
    found = {}
    for name, subject in SUBJECTS.items():
        with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
            folder = Path(work) / subject.folder
            shutil.copytree(unharmed / subject.folder, folder)
            answer = read(subject, folder)  # here, so that all that it imports is there when processes are forked
            os.chdir(unharmed)
        assert answer["outcome"] == "read", f"{name}, unharmed: {answer}"
        found[name] = answer["values"]
    return found


def answers_of(base: int, count: int, lanes: int, unharmed: Path, values: dict[str, str]) -> Iterator[tuple[int, str, str, dict[str, str]]]:
    """Every mutation's number, description, subject and what came of it, as they come."""
    context = multiprocessing.get_context("fork")
    answers: SimpleQueue[str] = context.SimpleQueue()
    started = [context.Process(target=lane, args=(place, lanes, base, count, unharmed, values, answers)) for place in range(lanes)]
    for process in started:
        process.start()
    ended = 0
    while ended < lanes:
        if answer := answers.get():
            yield tuple(json.loads(answer))
        else:
            ended += 1
    for process in started:
        process.join()


def main() -> int:
    """The command. Returns 1 where a mutation failed."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.robustness.fuzz", description="Harm files of every format and count what comes of it."
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="By default another each time; it is printed.")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="Do this one again, and say all.")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="With --only: put the harmed files there.")
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        unharmed = Path(work) / "unharmed"
        unharmed.mkdir()
        lay_out(unharmed)
        values = unharmed_values(unharmed)
        if given.only is not None:
            mutation = draw(given.seed, given.only // BATCH)[given.only % BATCH]
            found = judge(mutation, unharmed, values, given.keep)
            print(f"{mutation}\n{found['outcome']}\n{found.get('said', '')}")
            return int(found["outcome"] in BAD)
        return _all(given.seed, given.count, given.lanes, unharmed, values)


def _all(base: int, count: int, lanes: int, unharmed: Path, values: dict[str, str]) -> int:
    start, counts, table = time.monotonic(), Counter[str](), dict[str, Counter[str]]()
    print(f"{count:,} mutations of {len(PLACES)} files, seed {base}", flush=True)
    for number, what, subject, found in answers_of(base, count, lanes, unharmed, values):
        counts[found["outcome"]] += 1
        table.setdefault(subject, Counter())[found["outcome"]] += 1
        if found["outcome"] in BAD:
            last = found.get("said", "").strip().splitlines()[-2:]
            print(f"{found['outcome'].upper()}: {what}\n  {' | '.join(last)[:400]}")
            print(f"  again: python -m benchmarks.robustness.fuzz --seed {base} --only {number}", flush=True)
    for subject in SUBJECTS:
        print(f"{subject:26}" + "".join(f"{name} {n:<7}" for name, n in sorted(table.get(subject, Counter()).items())))
    total = sum(counts.values())
    print(
        f"{total:,} mutations in {time.monotonic() - start:.0f} s, seed {base}: "
        + ", ".join(f"{counts[name]:,} {name}" for name in (*GOOD, *BAD))
    )
    return int(any(counts[name] for name in BAD) or total < count)


if __name__ == "__main__":
    sys.exit(main())
