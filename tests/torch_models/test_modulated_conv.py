"""Modulated convolution with shared weights against a weight copy a sample."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stylexport.torch_models.layers.modulated_conv import modulated_conv2d, modulated_pointwise
from stylexport.torch_models.layers.resampling import Fir
from tests.torch_models.plain import TAPS, modulated


def sample(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("up", [False, True])
def test_shared_weights_equal_a_weight_copy_a_sample(up: bool):
    x, weight, style = sample(3, 5, 6, 6), sample(4, 5, 3, 3, seed=1), sample(3, 5, seed=2) + 1
    fir = Fir(TAPS, axis_gain=2.0) if up else None
    found = modulated_conv2d(x, weight, style, 1e-8, gain=1.5, up=fir)
    torch.testing.assert_close(found, 1.5 * modulated(x, weight, style, up), atol=1e-12, rtol=0)


def test_torgb_equals_a_weight_copy_a_sample_and_is_not_demodulated():
    x, weight, style = sample(3, 5, 6, 6), sample(4, 5, 1, 1, seed=1), sample(3, 5, seed=2) + 1
    expected = modulated(x, weight, style, demodulate=False)
    torch.testing.assert_close(modulated_pointwise(x, weight, style), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(modulated_pointwise(x, weight, 2 * style), 2 * expected, atol=1e-12, rtol=0)


def test_demodulation_takes_out_a_factor_of_the_style():
    x, weight, style = sample(2, 5, 4, 4), sample(4, 5, 3, 3, seed=1), sample(2, 5, seed=2) + 1
    one, ten = (modulated_conv2d(x, weight, k * style, 1e-8) for k in (1, 10))
    torch.testing.assert_close(one, ten, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("up", [False, True])
def test_sixteen_bits_neither_overflow_nor_change_the_function(dtype: torch.dtype, up: bool):
    # Styles and weights in the thousands: their plain products would pass float16's largest value, 65504.
    x, weight, style = sample(2, 32, 6, 6), 3000 * sample(4, 32, 3, 3, seed=1), 2000 * (sample(2, 32, seed=2) + 1)
    fir = Fir(TAPS, axis_gain=2.0) if up else None
    expected = modulated(x, weight, style, up)
    found = modulated_conv2d(x.to(dtype), weight.to(dtype), style.to(dtype), 1e-8, up=fir)
    assert found.dtype == dtype
    assert (found.double() - expected).norm() < 8 * torch.finfo(dtype).eps * expected.norm()


def test_a_style_of_zeros_gives_zeros_in_sixteen_bits():
    x, weight = sample(1, 5, 4, 4).half(), sample(4, 5, 3, 3, seed=1).half()
    assert torch.equal(modulated_conv2d(x, weight, torch.zeros(1, 5).half(), 1e-8), torch.zeros(1, 4, 4, 4).half())
