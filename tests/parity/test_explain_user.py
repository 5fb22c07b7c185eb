"""Faults in layers of a user's own network, of which nothing is known but tensors and activations."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.parity.explain.hypotheses.hypothesis import Hypothesis, OwnMistake, tell_own_mistake
from stylexport.parity.explain.search import explain
from stylexport.parity.explain.suspect import Suspect
from tests.parity.broken import random
from tests.torch_models.plain import fill


class SamePadded(nn.Module):
    """TensorFlow's SAME for a stride of two and an even size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 6, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


def user(layer: str, right: nn.Module, wrong: nn.Module, x: Tensor, original: nn.Module | None = None) -> Suspect:
    """A layer of a user's own network, whose configuration is not known."""
    with torch.no_grad():
        weights = dict((original or right).state_dict())
        return Suspect("model", layer, wrong, lambda m, a, k: m(*a, **k), (x,), {}, right(x), wrong(x), weights)


def test_padding_of_a_user_s_own_convolution_is_named() -> None:
    right, wrong = SamePadded().double(), nn.Conv2d(5, 6, 3, stride=2, padding=1).double()
    wrong.load_state_dict(right.conv.state_dict())
    found = explain(user("stem", right, wrong, random(2, 5, 8, 8), right.conv))
    assert (found.cause, found.remedy) == ("padding", "pad 1 below, 1 right: F.pad(x, (0, 1, 0, 1)) before a convolution with padding=0")


def test_epsilon_of_a_user_s_own_batch_norm_is_named() -> None:
    right, wrong = (fill(nn.BatchNorm2d(5, eps=eps).double().eval()) for eps in (1e-3, 1e-5))
    found = explain(user("norm", right, wrong, random(2, 5, 8, 8)))
    assert (found.cause, found.remedy) == ("bn_epsilon", "set eps to 0.001")


def test_a_bias_that_a_user_s_own_layer_never_had_is_named() -> None:
    right, wrong = nn.Linear(20, 7).double(), nn.Linear(20, 7, bias=False).double()
    wrong.load_state_dict({"weight": right.weight})
    assert explain(user("dense", right, wrong, random(3, 20))).cause == "bias_missing"


def test_a_training_mode_is_told_of() -> None:
    right = fill(nn.BatchNorm2d(5).double().eval())
    wrong = fill(nn.BatchNorm2d(5).double().train())
    found = explain(user("norm", right, wrong, random(2, 5, 8, 8)))
    assert found.cause == "unknown"
    assert "call eval()" in found.detail


def test_a_mistake_of_the_explainers_own_is_told_and_a_module_that_does_not_fit_is_not() -> None:
    def own(module: nn.Module) -> None:
        None.weight  # type: ignore[attr-defined]  # noqa: B018

    def unfit(module: nn.Module) -> None:
        module.get_parameter("nothing")

    right, wrong = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    layer = user("dense", right, wrong, random(2, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", OwnMistake)
        assert Hypothesis("gain", "", module=unfit).residual(layer) == float("inf")
        tell_own_mistake(raised(lambda: own(right)))  # of a test's, and not of the room's
    mistake = raised(lambda: tell_own_mistake(None))  # type: ignore[arg-type]
    with pytest.warns(OwnMistake, match="a mistake of StylExport's"):
        tell_own_mistake(mistake)


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except AttributeError as error:
        return error
    raise AssertionError("nothing was raised")
