"""KID and FID of two samples are what their definitions and torch-fidelity say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_poly, mmd2

from stylexport.training.metrics.distributions import fid, kid


def samples(count: int = 60, size: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    left = torch.randn(count, size, generator=generator, dtype=torch.float64)
    right = torch.randn(count, size, generator=generator, dtype=torch.float64) * torch.linspace(0.5, 2, size) + 0.3
    return left, right


def test_kid_is_torch_fidelity_s_u_statistic() -> None:
    left, right = samples()
    x, y = left.numpy(), right.numpy()
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}
    kernels = (kernel_poly(*pair, **options) for pair in ((x, x), (x, y), (y, y)))
    assert kid(left, right) == pytest.approx(float(mmd2(*kernels, mmd_est="u-statistic")), rel=1e-10)


def test_kid_of_three_rows_is_the_one_written_out() -> None:
    x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 2 + 1) ** 3)

    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    expected = sum(k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in pairs) / 6
    assert expected != 0
    assert kid(x, y) == pytest.approx(expected, rel=1e-12)


def test_kid_of_reconstructions_that_are_perfect_is_zero() -> None:
    left, _ = samples()
    assert kid(left, left.clone()) == 0


def test_kid_of_one_distribution_is_unbiased() -> None:
    generator = torch.Generator().manual_seed(1)
    draws = [kid(*torch.randn(2, 20, 4, generator=generator)) for _ in range(400)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / 20
    assert min(draws) < 0 < max(draws)


@pytest.mark.parametrize("count", [60, 5])  # more rows than features, and fewer
def test_fid_is_torch_fidelity_s(count: int) -> None:
    left, right = samples(count)
    statistics = [fid_features_to_statistics(x) for x in (left, right)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    assert fid(left, right) == pytest.approx(expected, rel=1e-6)


def test_fid_of_a_shift_is_its_square() -> None:
    left, _ = samples()
    assert fid(left, left + torch.arange(7) * 0.5) == pytest.approx(0.25 * (1 + 4 + 9 + 16 + 25 + 36), rel=1e-9)
