"""A stopwatch counts every phase once, and reads the clock only when queued work is done."""

from __future__ import annotations

import time

import pytest

from benchmarks.common.timing import Stopwatch


class Clock:
    """A clock that advances by what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds


def test_the_time_of_a_nested_phase_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, watch = Clock(monkeypatch), Stopwatch()
    clock.advance(1)
    with watch.phase("outer"):
        clock.advance(2)
        with watch.phase("inner"):
            clock.advance(5)
        clock.advance(3)
    assert watch.seconds == {"outer": 5, "inner": 5}


def test_queued_work_counts_in_the_phase_that_queued_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    queued = [0.0]
    watch = Stopwatch(wait=lambda: (clock.advance(queued[0]), queued.__setitem__(0, 0.0)))
    with watch.phase("generator"):
        queued[0] = 4.0
    with watch.phase("data"):
        clock.advance(1)
    assert watch.seconds == {"generator": 4, "data": 1}
