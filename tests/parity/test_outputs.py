"""Outputs of the port and of the original are matched whatever they are called, and the report says how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from stylexport.common.errors import BadInput
from stylexport.parity.proof import verify_module
from stylexport.parity.report import to_json
from stylexport.parity.result import Report
from tests.parity.made import drawn, made

X = drawn(4, 3, 5, 5)
IMAGE, SCORE, OTHER = X.tanh(), X.mean((2, 3)), X.mean((2, 3)).exp()


class Both(NamedTuple):
    score: Tensor
    image: Tensor


@dataclasses.dataclass
class Result:
    image: Tensor
    score: Tensor | None = None
    loss: float = 0.0


class Port(nn.Module):
    """A port that returns what a test makes of the three right tensors."""

    def __init__(self, gives: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.gives = gives

    def forward(self, x: Tensor) -> Any:
        return self.gives(x.tanh(), x.mean((2, 3)), x.mean((2, 3)).exp())


def verified(tmp_path: Path, gives: Callable[[Tensor, Tensor, Tensor], Any], **outputs: Tensor) -> Report:
    named = {name.removeprefix("n"): value for name, value in outputs.items()}
    return verify_module(Port(gives), made(tmp_path / "recording", {"x": X}, [], named))


@pytest.mark.parametrize(
    "gives",
    [
        lambda image, score, other: image,
        lambda image, score, other: (image,),
        lambda image, score, other: {"picture": image},
        lambda image, score, other: Result(image),
        lambda image, score, other: image.movedim(1, -1),
    ],
)
def test_one_output_matches_one_whatever_it_is_called_and_however_it_lies(tmp_path: Path, gives: Callable[..., Any]) -> None:
    report = verified(tmp_path, gives, photo=IMAGE)
    assert (report.verdict, report.layers[-1].name, report.matched) == ("pass", "output", 1)
    assert [remark for remark in report.remarks if "is held against the original's photo" in remark]


@pytest.mark.parametrize(
    "gives",
    [
        lambda image, score, other: {"score": score, "image": image},
        lambda image, score, other: Both(score, image),
        lambda image, score, other: Result(image, score),
    ],
)
def test_several_outputs_are_matched_by_their_names(tmp_path: Path, gives: Callable[..., Any]) -> None:
    report = verified(tmp_path, gives, image=IMAGE, score=SCORE)
    assert report.verdict == "pass"
    assert "outputs are matched by their names: image, score" in report.remarks


def test_names_that_are_swapped_are_a_fault(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda image, score, other: {"other": score, "score": other}, other=OTHER, score=SCORE)
    assert {fault.layer for fault in report.faults} == {"output.other", "output.score"}


def test_a_tuple_for_a_dictionary_is_matched_by_its_values(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda image, score, other: (score, other), other=OTHER, score=SCORE)
    assert report.verdict == "pass"
    assert "outputs are matched by their values: other is the port's 1, score is its 0" in report.remarks


def test_a_tuple_for_a_tuple_stands_in_order_and_another_order_is_a_fault(tmp_path: Path) -> None:
    assert verified(tmp_path, lambda image, score, other: (score, other), n0=SCORE, n1=OTHER).verdict == "pass"
    assert verified(tmp_path, lambda image, score, other: (other, score), n0=SCORE, n1=OTHER).verdict == "fault"


def test_outputs_beyond_the_originals_are_a_remark(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda image, score, other: {"hidden": other, "image": image}, image=IMAGE)
    assert report.verdict == "pass"
    assert "the original has no output for the port's hidden: nothing is said of it" in to_json(report)["remarks"]


def test_an_output_that_the_port_lacks_is_named(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda image, score, other: {"image": image}, image=IMAGE, score=SCORE)
    assert (report.verdict, report.exit_code) == ("incomplete", 3)
    assert [name.split(" (")[0] for name in report.unmatched] == ["mine: output.score"]


def test_a_wrong_value_under_the_right_name_is_a_fault(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda image, score, other: {"image": image, "score": score * 1.001}, image=IMAGE, score=SCORE)
    assert [fault.layer for fault in report.faults] == ["output.score"]


def test_an_output_of_another_shape_is_a_fault(tmp_path: Path) -> None:
    report = verified(tmp_path, lambda image, score, other: image[..., 1:], image=IMAGE)
    assert report.verdict == "fault"
    assert (
        report.faults[0].detail
        == "between the input x and output the port cuts (5, 4) values of it from (0, 1) on; the original takes it as it is"
    )


def test_a_module_that_returns_no_tensor_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="returns no tensor"):
        verified(tmp_path, lambda image, score, other: "done", image=IMAGE)


def test_a_port_that_takes_channels_last_is_fed_so(tmp_path: Path) -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:  # [N, H, W, C]
            return torch.nn.functional.layer_norm(x, (3,))

    exact = torch.nn.functional.layer_norm(X.movedim(1, -1), (3,))
    assert verify_module(Last(), made(tmp_path / "recording", {"x": X}, [], {"y": exact})).verdict == "pass"
