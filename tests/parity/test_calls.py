"""A layer that runs more than once: each call is held against the call of the original that it answers for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.parity.match.calls import calls_of
from stylexport.parity.proof import verify_module
from stylexport.parity.result import Report
from tests.parity.made import Made, drawn, made
from tests.torch_models.plain import fill

A, B = drawn(4, 6), drawn(4, 6, seed=2)
Forward = Callable[["Shared", Tensor, Tensor], Tensor]


class Shared(nn.Module):
    """Two dense layers, of which a test calls the first as often as it likes."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.shared, self.out, self.does = nn.Linear(6, 6), nn.Linear(6, 2), forward
        fill(self)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.does(self, a, b)


def once_each(m: Shared, a: Tensor, b: Tensor) -> Tensor:
    return m.out(m.shared(a).relu() - m.shared(b).relu())


def second_first(m: Shared, a: Tensor, b: Tensor) -> Tensor:
    y = m.shared(b).relu()
    return m.out(m.shared(a).relu() - y)


def both_at_once(m: Shared, a: Tensor, b: Tensor) -> Tensor:
    y, z = m.shared(torch.cat([a, b])).relu().chunk(2)
    return m.out(y - z)


def the_same_again(m: Shared, a: Tensor, b: Tensor) -> Tensor:
    m.shared(a)
    return once_each(m, a, b)


def verified(tmp_path: Path, forward: Forward, second: str = "b") -> Report:
    """`forward` against an original whose second call is on `b`, or on what the first gave."""
    port = Shared(forward)
    with torch.no_grad():
        right = Shared(forward).double()
        first = right.shared(A)
        other = right.shared(B if second == "b" else first.relu())
        difference = first.relu() - other.relu()
        out = right.out(difference)
    calls = [(first, "first"), (other, "second")]
    taps = [
        made_tap
        for value, _ in calls
        for made_tap in (Made("shared", value), Made("shared", value.relu(), "activation", "Relu", declared=False))
    ]
    taps += [Made("", difference, "join", "Sub", declared=False), Made("out", out)]
    return verify_module(port, made(tmp_path / "recording", {"a": A, "b": B}, taps, {"0": out}, port))


@pytest.mark.parametrize("forward", [once_each, second_first, both_at_once, the_same_again])
def test_a_right_port_passes_in_whatever_order_it_calls_the_layer(tmp_path: Path, forward: Forward) -> None:
    report = verified(tmp_path, forward)
    assert (report.verdict, report.taps - report.matched, report.remarks) == ("pass", 0, ())


def test_a_layer_in_series_is_fed_with_its_own_earlier_call(tmp_path: Path) -> None:
    def series(m: Shared, a: Tensor, b: Tensor) -> Tensor:
        y = m.shared(a).relu()
        return m.out(y - m.shared(y).relu())

    assert verified(tmp_path, series, second="first").verdict == "pass"


def test_one_wrong_call_of_two_is_a_fault_of_the_layer_that_says_which(tmp_path: Path) -> None:
    def wrong(m: Shared, a: Tensor, b: Tensor) -> Tensor:
        return m.out(m.shared(a).relu() - m.shared(1.5 * b).relu())

    report = verified(tmp_path, wrong)
    assert [fault.layer for fault in report.faults] == ["shared"]
    assert "(call 2 of the layer)" in report.faults[0].detail


def test_another_activation_behind_one_call_is_not_passed_over(tmp_path: Path) -> None:
    def wrong(m: Shared, a: Tensor, b: Tensor) -> Tensor:
        return m.out(m.shared(a).relu() - m.shared(b))

    assert [fault.layer for fault in verified(tmp_path, wrong).faults] == ["out"]


@pytest.mark.parametrize(
    ("forward", "times"),
    [
        (lambda m, a, b: m.out(m.shared(a).relu()), "runs 1 time in the port and 2 times in the original"),
        (lambda m, a, b: m.out(m.shared(m.shared(a)).relu() - m.shared(b).relu()), "runs 3 times in the port and 2 times in the original"),
    ],
)
def test_another_number_of_calls_is_told_and_named(tmp_path: Path, forward: Forward, times: str) -> None:
    report = verified(tmp_path, forward)
    assert report.verdict == "fault"
    assert "number_of_calls" in {fault.cause for fault in report.faults}
    assert any(times in remark for remark in report.remarks)


def test_a_call_that_the_port_leaves_out_is_named(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda m, a, b: m.out(m.shared(a).relu()))
    assert [name.split(" (")[0] for name in report.unmatched] == ["mine: shared, call 2 of 2"]


def in_code(m: Shared, x: Tensor) -> Tensor:
    return F.linear(x, m.shared.weight, m.shared.bias)


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda m, a, b: m.out(m.shared(a).relu() - in_code(m, b).relu()), ["mine: shared, call 2 of 2"]),
        (lambda m, a, b: m.out(in_code(m, a).relu() - in_code(m, b).relu()), ["mine: shared, call 1 of 2", "mine: shared, call 2 of 2"]),
    ],
)
def test_what_the_code_computes_of_a_layer_without_calling_it_counts_and_is_told(tmp_path: Path, forward: Forward, told: list[str]) -> None:
    report = verified(tmp_path, forward)
    assert (report.verdict, report.unmatched) == ("pass", ())
    assert [remark.rpartition(": computed by the port's own code")[0] for remark in report.remarks] == told


def test_what_the_code_computes_wrongly_without_calling_the_layer_is_a_fault(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda m, a, b: m.out(m.shared(a).relu() - F.linear(b, m.shared.weight).relu()))
    assert (report.verdict, report.faults[0].layer) == ("fault", "out")


def test_two_calls_on_the_same_values_may_be_one(tmp_path: Path) -> None:
    def once(m: Shared, a: Tensor, b: Tensor) -> Tensor:
        y = m.shared(a).relu()
        return m.out(y * y)

    port = Shared(once)
    with torch.no_grad():
        right = Shared(once).double()
        first, out = right.shared(A), right(A, B)
    recording = made(
        tmp_path / "recording", {"a": A, "b": B}, [Made("shared", first), Made("shared", first), Made("out", out)], {"0": out}, port
    )
    assert verify_module(port, recording).verdict == "pass"


def test_the_stages_of_each_call_belong_together() -> None:
    class Tap:
        def __init__(self, stage: str) -> None:
            self.stage = stage

    taps = [Tap(stage) for stage in ("parameters", "activation", "parameters", "parameters", "activation")]
    assert [len(call) for call in calls_of(taps)] == [2, 1, 2]  # type: ignore[arg-type]


def test_a_layer_that_is_far_wrong_is_held_against_its_own_stage_and_the_next_is_not_blamed(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.dense, self.out, self.factor = nn.Linear(6, 6), nn.Linear(6, 2), factor
            fill(self)
            self.dense.register_forward_hook(lambda module, args, output: output * self.factor)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.dense(x).relu())

    port = Scaled(0.01)
    with torch.no_grad():
        exact = Scaled(1.0).double()
        before, out = exact.dense(A), exact(A)
    taps = [Made("dense", before), Made("dense", before.relu(), "activation", "Relu", declared=False), Made("out", out)]
    report = verify_module(port, made(tmp_path / "recording", {"a": A}, taps, {"0": out}, port))
    assert [fault.layer for fault in report.faults] == ["dense"]
    assert next(layer.stage for layer in report.layers if layer.name == "dense") == "parameters"
