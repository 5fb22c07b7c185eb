"""The plain forms are the layers: each gives what its module gives, in float64 to rounding."""

from __future__ import annotations

import pytest
import torch

from stylexport.common.distance import relative_error
from stylexport.parity.explain import formulas
from stylexport.parity.explain.hypotheses.layer_formulas import plain_formula
from tests.parity.broken import random, suspect

LAYERS = (
    ("generator", "mapping.fc0"),
    ("generator", "style_vectors.b8.conv0"),
    ("generator", "synthesis.b4.conv1"),
    ("generator", "synthesis.b8.conv0"),
    ("generator", "synthesis.b8.torgb"),
    ("generator", "synthesis.b16"),
    ("encoder", "b16.fromrgb"),
    ("encoder", "b16.conv1"),
    ("encoder", "b16.skip"),
    ("encoder", "b16"),
    ("encoder", "b4.fc"),
    ("encoder", "b4.out"),
    ("discriminator", "b4.mbstd"),
    ("discriminator", ""),
    ("classifier", "conv0.conv"),
    ("classifier", "conv0.bn"),
    ("classifier", "b2.depthwise.conv"),
    ("classifier", "head"),
)


@pytest.mark.parametrize(("kind", "layer"), LAYERS)
def test_a_plain_form_gives_what_its_module_gives(kind: str, layer: str) -> None:
    right = suspect(kind, layer, lambda net: None)
    form = plain_formula(right)
    assert form is not None
    with torch.no_grad():
        assert relative_error(form.output(), right.expected) < 1e-13


# size, kernel, stride, dilation, zeros before and after
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "zeros"),
    [(8, 3, 2, 1, (0, 1)), (7, 3, 2, 1, (1, 1)), (8, 3, 1, 1, (1, 1)), (8, 4, 1, 1, (1, 2)), (9, 3, 1, 2, (2, 2)), (6, 1, 2, 1, (0, 0))],
)
def test_same_zeros_are_tensorflow_s(size: int, kernel: int, stride: int, dilation: int, zeros: tuple[int, int]) -> None:
    assert formulas.same_zeros(size, kernel, stride, dilation) == zeros


def test_an_odd_number_of_zeros_stands_before_by_its_larger_half() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], dtype=torch.float64)
    taps = (1.0, 0.0)  # convolution with it leaves the signal where it is, so the zeros show
    assert formulas.filtered(x, taps, 1.0, 1)[0, 0].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert formulas.filtered(x, taps, 1.0, 1, shift=1)[0, 0].tolist() == [[4.0, 0.0], [0.0, 0.0]]


def test_neighbours_and_samples_apart_make_different_groups() -> None:
    x = random(4, 3, 2, 2)
    apart = formulas.minibatch_std(x=x, group=2, epsilon=0.0)[:, -1, 0, 0]
    beside = formulas.minibatch_std(x=x, group=2, epsilon=0.0, apart=False)[:, -1, 0, 0]
    assert apart[0] == apart[2] != apart[1]
    assert beside[0] == beside[1] != beside[2]
