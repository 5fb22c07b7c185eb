"""TensorFlow's SAME padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from stylexport.torch_models.layers.same_padding import conv2d_same, same_padding

CASES = list(itertools.product(range(1, 13), (1, 2, 3, 4, 5, 7), (1, 2, 3, 4), (1, 2, 3)))


def test_padding_is_tensorflows_for_every_size_kernel_stride_and_dilation():
    for size, kernel, stride, dilation in CASES:
        before, after = same_padding(size, kernel, stride, dilation)
        span = (kernel - 1) * dilation + 1
        out = -(-size // stride)
        needed = max((out - 1) * stride + span - size, 0)
        assert (before + after, after - before) == (needed, needed % 2), (size, kernel, stride, dilation)


def test_stride_two_pads_the_end_of_even_sizes_and_both_ends_of_odd_ones():
    assert same_padding(224, 3, 2) == (0, 1)
    assert same_padding(225, 3, 2) == (1, 1)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 5), (1, 4)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_convolution_equals_the_definition(stride: tuple[int, int], kernel: tuple[int, int], dilation: tuple[int, int]):
    random = np.random.default_rng(3)
    for h, w in ((5, 6), (8, 7), (1, 2)):
        x, k = random.normal(size=(h, w)), random.normal(size=kernel)
        expected = np.zeros((-(-h // stride[0]), -(-w // stride[1])))
        starts = [
            -(max((out - 1) * s + (n - 1) * d + 1 - size, 0) // 2)
            for out, s, n, d, size in zip(expected.shape, stride, kernel, dilation, (h, w), strict=True)
        ]
        for i, j in np.ndindex(*expected.shape):
            for a, b in np.ndindex(*kernel):
                row, column = starts[0] + i * stride[0] + a * dilation[0], starts[1] + j * stride[1] + b * dilation[1]
                if 0 <= row < h and 0 <= column < w:
                    expected[i, j] += x[row, column] * k[a, b]
        found = conv2d_same(torch.tensor(x)[None, None], torch.tensor(k)[None, None], None, stride, dilation)[0, 0]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
