"""A residual that is added before the bias and not after it: another order of the same sum, where the sum and all behind agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylexport.parity.proof import verify_module
from stylexport.parity.report import SCHEMA, to_json
from stylexport.parity.result import Report
from tests.parity.made import Made, drawn, made
from tests.parity.schema import violations
from tests.torch_models.plain import fill

X = drawn(4, 6)
Forward = Callable[["Residual", Tensor], Tensor]


class Residual(nn.Module):
    """Two residual layers and a head, used as a test likes."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.first, self.second, self.head, self.does = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3), forward
        fill(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def right(m: Residual, x: Tensor) -> Tensor:
    y = (x + m.first(x)).relu()
    return m.head(y + m.second(y))


def verified(tmp_path: Path, forward: Forward) -> Report:
    """Against an original that adds each bias last, so that none of its tensors is what a layer of the port gives."""
    port = Residual(forward)
    with torch.no_grad():
        m = Residual(right).double()
        one = X + m.first(X)
        two = one.relu() + m.second(one.relu())
        out = m.head(two)
    taps = [Made("first", one, op="AddV2"), Made("first", one.relu(), "activation", "Relu", declared=False)]
    taps += [Made("second", two, op="AddV2"), Made("head", out, op="AddV2")]
    return verify_module(port, made(tmp_path / "recording", {"x": X}, taps, {"0": out}, port))


def verdicts(report: Report) -> dict[str, str]:
    return {layer.name: layer.verdict for layer in report.layers}


def test_the_same_sum_in_another_order_is_no_fault_and_is_told(tmp_path: Path) -> None:
    report = verified(tmp_path, right)
    assert (report.verdict, report.exit_code, report.matched) == ("pass", 0, report.taps)
    assert verdicts(report) == {"first": "reordered", "second": "reordered", "head": "pass", "output": "pass"}
    assert [remark.split(": ")[1] for remark in report.remarks if "another order of the same sum" in remark] == ["first", "second"]
    schema = json.loads(SCHEMA.read_text())
    assert list(violations(to_json(report), schema, schema)) == []


def test_in_a_lower_precision_such_a_layer_keeps_its_own_value(tmp_path: Path) -> None:
    assert verified(tmp_path, right).verdict == "pass"
    report = verify_module(Residual(right), tmp_path / "recording", precision="bf16")
    assert report.verdict == "pass"
    assert {loss.layer for loss in report.losses} == {"head"}


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.head((y := (x + m.first(x)).relu()) + 1.00001 * m.second(y)),
        lambda m, x: m.head((y := (x + m.first(x)).relu()) + m.second(y) + 1e-5),
        lambda m, x: m.head(m.second((x + m.first(x)).relu())),
        lambda m, x: m.head((y := (x + m.first(x)).sigmoid()) + m.second(y)),
        lambda m, x: m.head((y := (2 * x + m.first(x)).relu()) + m.second(y)),
        lambda m, x: 1.00001 * m.head((y := (x + m.first(x)).relu()) + m.second(y)),
    ],
)
def test_no_real_fault_hides_there(tmp_path: Path, forward: Forward) -> None:
    report = verified(tmp_path, forward)
    assert (report.verdict, report.exit_code) == ("fault", 1)
    assert report.faults


def test_a_wrong_layer_beside_such_a_sum_is_the_one_that_is_named(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda m, x: m.head((y := (x + m.first(x)).relu()) + m.second(y) * 1.5))
    assert report.first_fault is not None
    assert (report.first_fault.layer, verdicts(report)["first"]) == ("second", "reordered")


def test_a_small_error_that_the_chain_would_allow_is_no_other_order(tmp_path: Path) -> None:
    def slightly(m: Residual, x: Tensor) -> Tensor:
        return m.head(m.second(m.first(x)).flatten(1))

    port = Residual(slightly)
    with torch.no_grad():
        m = Residual(slightly).double()
        one = m.first(X)
        two = m.second(one) * (1 + 2e-7)  # above what a layer may be off by alone, below 8 times the floor
        out = m.head(two)
    taps = [Made("first", one), Made("second", two), Made("head", out)]
    report = verify_module(port, made(tmp_path / "recording", {"x": X}, taps, {"0": out}, port))
    assert verdicts(report)["second"] == "fault"


def test_a_layer_that_takes_the_residual_itself_gives_the_sum_behind(tmp_path: Path) -> None:
    class Fused(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x

    port = nn.Sequential(Fused(6, 6), nn.Linear(6, 3))
    fill(port)
    with torch.no_grad():
        exact = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3)).double()
        exact.load_state_dict(port.state_dict())
        dense = exact[0](X)
        out = exact[1](dense + X)
    taps = [Made("0", dense), Made("", dense + X, "join", "AddV2", declared=False), Made("1", out)]
    report = verify_module(port, made(tmp_path / "recording", {"x": X}, taps, {"0": out}, port))
    assert (report.verdict, verdicts(report)["0"]) == ("pass", "reordered")
