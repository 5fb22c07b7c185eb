"""Minibatch standard deviation."""

from __future__ import annotations

import pytest
import torch

from stylexport.torch_models.layers.mbstd import MinibatchStd
from tests.torch_models.plain import minibatch_std


@pytest.mark.parametrize(("n", "group"), [(8, 4), (6, 3), (4, 4), (2, 4), (1, 4)])
def test_groups_are_interleaved_and_the_channel_comes_last(n: int, group: int):
    x = torch.randn(n, 3, 4, 5, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    torch.testing.assert_close(MinibatchStd(group, 1e-8)(x), minibatch_std(x, min(group, n)), atol=1e-13, rtol=0)


def test_samples_a_group_apart_share_their_value():
    x = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    a, b, c, d = MinibatchStd(2, 1e-8)(x)[:, -1, 0, 0].tolist()
    assert (a, b) == (c, d)
    assert a != b


def test_a_batch_that_groups_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="groups of 4, which do not divide a batch of 6"):
        MinibatchStd(4, 1e-8)(torch.zeros(6, 3, 4, 4))
