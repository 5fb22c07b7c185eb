"""TensorFlow's SAME padding, which depends on the input's size.

PyTorch's `padding="same"` refuses strides, and `padding=1` pads the wrong side: at stride 2 a 3x3 kernel gets 0 and 1 zeros on an
even size, 1 and 1 on an odd one. Source: TensorFlow, "Neural Network" API guide, notes on padding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def same_padding(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Zeros (before, after) one axis of `size` elements, so that the output has ceil(size / stride).

    total = max((ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0); the smaller half goes before.
    `size` may be symbolic (torch.export); the other arguments are plain integers.
    """
    span = (kernel - 1) * dilation + 1
    if stride == 1:
        total = span - 1
    else:
        total = ((size + stride - 1) // stride - 1) * stride + span - size
        # Only a kernel that is shorter than its stride leaves anything below zero; elsewhere a symbolic size needs no guard.
        not_negative: Any = torch.sym_max
        total = not_negative(total, 0) if span < stride else total
    before = total // 2
    return before, total - before


def pad_same(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1)) -> Tensor:
    """`x` [N, C, H, W] with the zeros that a VALID convolution then needs to equal a SAME one."""
    top, bottom = same_padding(x.shape[2], kernel[0], stride[0], dilation[0])
    left, right = same_padding(x.shape[3], kernel[1], stride[1], dilation[1])
    return F.pad(x, (left, right, top, bottom))


def conv2d_same(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """`F.conv2d` with SAME padding: x [N, I, H, W], weight [O, I / groups, kh, kw] -> [N, O, ceil(H / sh), ceil(W / sw)]."""
    kernel = (weight.shape[2], weight.shape[3])
    sides = [same_padding(0, k, 1, d) for k, d in zip(kernel, dilation, strict=True)]
    if stride == (1, 1) and all(before == after for before, after in sides):
        # The usual case is symmetric whatever the size: the convolution pads for itself and saves a copy of x.
        return F.conv2d(x, weight, bias, padding=(sides[0][0], sides[1][0]), dilation=dilation, groups=groups)
    return F.conv2d(pad_same(x, kernel, stride, dilation), weight, bias, stride, 0, dilation, groups)
