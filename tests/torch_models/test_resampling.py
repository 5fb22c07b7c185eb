"""Filters and resampling against zero insertion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stylexport.torch_models.layers.resampling import Fir, conv_down, conv_transpose_up
from tests.torch_models.plain import insert_zeros, smooth

TAPS = [(1.0, 3.0, 3.0, 1.0), (1.0, 2.0, 4.0, 1.0), (1.0, 2.0, 1.0), (3.0, 1.0)]


def image(seed: int = 0, shape: tuple[int, ...] = (2, 3, 5, 4), dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def convolve_line(line: NDArray[np.float64], taps: tuple[float, ...]) -> NDArray[np.float64]:
    """Numpy's own full convolution of one line with the normalised taps."""
    return np.convolve(line, np.array(taps) / sum(taps))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("taps", TAPS)
def test_the_filter_is_a_separable_convolution_with_taps_of_sum_one(taps: tuple[float, ...], dtype: torch.dtype):
    x = image(dtype=dtype)
    n = len(taps)
    expected = np.apply_along_axis(convolve_line, 2, np.apply_along_axis(convolve_line, 3, x.double().numpy(), taps), taps)
    found = Fir(taps).filter(x, (n - 1, n - 1))
    torch.testing.assert_close(found.double(), torch.tensor(expected), atol=1e-6 if dtype == torch.float32 else 1e-13, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_uneven_padding_and_stride_pick_the_filters_own_samples(dtype: torch.dtype):
    fir, x = Fir(TAPS[1]), image(dtype=dtype)
    everything = fir.filter(x, (3, 3))
    # 2 zeros before instead of 3 leave out the first output; 0 after instead of 3, the last three.
    torch.testing.assert_close(fir.filter(x, (2, 0), stride=2), everything[:, :, 1:-3:2, 1:-3:2], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("taps", "padding"), list(zip(TAPS, [(2, 1), (2, 1), (1, 1), (1, 0)], strict=True)))
def test_upsampling_is_zero_insertion_padding_and_filter(taps: tuple[float, ...], padding: tuple[int, int]):
    x = image()
    expected = smooth(insert_zeros(x), taps, *padding, axis_gain=2.0)
    assert expected.shape == (2, 3, 10, 8)
    torch.testing.assert_close(Fir(taps, axis_gain=2.0).upsample(x), expected, atol=1e-13, rtol=0)


def test_upsampling_keeps_a_flat_image_flat_away_from_the_border():
    up = Fir(TAPS[0], axis_gain=2.0).upsample(torch.full((1, 1, 4, 4), 3.0))
    torch.testing.assert_close(up[0, 0, 1:-1, 1:-1], torch.full((6, 6), 3.0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_doubling_convolution_scatters_its_kernel_unflipped_then_filters(dtype: torch.dtype):
    x, weight = image(1, (2, 3, 5, 5)), image(2, (4, 3, 3, 3))
    scattered = torch.zeros(2, 4, 11, 11, dtype=torch.float64)
    for row, column in np.ndindex(5, 5):
        patch = torch.einsum("ni,oikl->nokl", x[:, :, row, column], weight)
        scattered[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += patch
    expected = smooth(scattered, TAPS[0], 1, 1, axis_gain=2.0)
    found = conv_transpose_up(x.to(dtype), weight.to(dtype), Fir(TAPS[0], axis_gain=2.0))
    assert found.shape == (2, 4, 10, 10)
    torch.testing.assert_close(found.double(), expected, atol=1e-12 if dtype == torch.float64 else 1e-5, rtol=0)


def test_the_doubling_convolution_is_zero_insertion_and_correlation_with_the_turned_kernel():
    x, weight = image(1, (2, 3, 4, 4)), image(2, (4, 3, 3, 3))
    correlated = F.conv2d(F.pad(insert_zeros(x), (2, 1, 2, 1)), weight.flip(2, 3))
    expected = smooth(correlated, TAPS[0], 1, 1, axis_gain=2.0)
    torch.testing.assert_close(conv_transpose_up(x, weight, Fir(TAPS[0], axis_gain=2.0)), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("kernel", "padding"), [(3, 2), (1, 1)])
def test_the_halving_convolution_filters_first_and_steps_by_two(kernel: int, padding: int):
    x, weight, bias = image(1, (2, 3, 8, 8)), image(2, (4, 3, kernel, kernel)), image(3, (4,))
    expected = F.conv2d(smooth(x, TAPS[0], padding, padding, 1.0), weight, bias)[:, :, ::2, ::2]
    assert expected.shape == (2, 4, 4, 4)
    torch.testing.assert_close(conv_down(x, weight, bias, Fir(TAPS[0])), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("taps", [(1.0,), (1.0, -1.0), ()])
def test_a_filter_without_a_sum_or_with_one_tap_is_refused(taps: tuple[float, ...]):
    with pytest.raises(ValueError, match="two taps or more"):
        Fir(taps)
