"""The layers written out plainly, as definitions and not as fast code: a second opinion that a fault in `torch_models` cannot touch.

Each formula takes tensors and constants by name and shares nothing with the modules: weights are modulated a sample, zeros are
inserted before a filter, padding is explicit. What is to be left out is left out by a constant: no noise is a strength of 0, no gain a
gain of 1, no demodulation an epsilon of None. Sources: Karras et al. 2020 (StyleGAN2), equations 1 to 3, section 4 and figure 7; Karras
et al. 2018 ("Progressive Growing of GANs"), sections 3 and 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Pads = tuple[int, int, int, int]  # top, bottom, left, right


def modulated(
    *,
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    coefficient: float,
    epsilon: float | None,
    taps: Sequence[float] | None,
    axis_gain: float,
    shift: int,
    pads: Pads,
    noise: Tensor | None,
    strength: Tensor | float,
    bias: Tensor,
    slope: float,
    gain: float,
    clamp: float | None = None,
) -> Tensor:
    """A synthesis layer or toRGB (epsilon None, slope and gain 1): `x` [N, I, H, W] under `style` [N, I] to [N, O, H', W'].

    With `taps` it doubles: a transposed convolution with `weight` [O, I, k, k], which is zero insertion and a convolution with the
    flipped kernel, then the filter.
    """
    samples = max(len(x), len(style))
    images = []
    for one, s in zip(x.expand(samples, *x.shape[1:]), style.expand(samples, -1), strict=True):
        kernel = weight * coefficient * s[None, :, None, None]
        if epsilon is not None:
            kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + epsilon).sqrt()
        if taps is None:
            images.append(F.conv2d(zero_padded(one[None], pads), kernel))
        else:
            size = kernel.shape[2]
            spread = zero_padded(insert_zeros(one[None]), (size - 1, size - 2, size - 1, size - 2))
            images.append(filtered(F.conv2d(spread, kernel.flip(2, 3)), taps, axis_gain, len(taps) + 1 - size, shift))
    y = torch.cat(images) + bias[:, None, None]
    return clamped(leaky(y if noise is None else y + strength * noise, slope, gain), clamp)


def convolution(
    *,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    coefficient: float,
    taps: Sequence[float] | None,
    axis_gain: float,
    shift: int,
    pads: Pads,
    slope: float,
    gain: float,
    clamp: float | None = None,
) -> Tensor:
    """Convolution, bias, activation of encoder and discriminator: [N, I, H, W] to [N, O, H, W], halved where there are `taps`."""
    size = weight.shape[2]
    if taps is not None:
        y = F.conv2d(filtered(x, taps, axis_gain, len(taps) + size - 3, shift), weight * coefficient, stride=2)
    else:
        y = F.conv2d(zero_padded(x, pads), weight * coefficient)
    return clamped(leaky(y + bias[:, None, None], slope, gain), clamp)


def dense(
    *, x: Tensor, weight: Tensor, bias: Tensor, coefficient: float, lr_multiplier: float, slope: float, gain: float, plus: float
) -> Tensor:
    """A dense layer [..., in] to [..., out] with its learning-rate multiplier; `plus` is a style's one."""
    y = x @ (weight * coefficient * lr_multiplier).t() + bias * lr_multiplier
    return leaky(y, slope, gain) + plus


def residual(*, main: Tensor, skip: Tensor, residual_scale: float) -> Tensor:
    """(main + skip) * scale."""
    return (main + skip) * residual_scale


def skip_image(*, image: Tensor, rgb: Tensor, taps: Sequence[float], axis_gain: float, shift: int) -> Tensor:
    """What toRGB adds, `rgb` [N, 3, 2 H, 2 W], onto the image before, [N, 3, H, W], doubled by zero insertion and the filter."""
    return filtered(insert_zeros(image), taps, axis_gain, len(taps) - 1, shift) + rgb


def minibatch_std(
    *,
    x: Tensor,
    group: int,
    epsilon: float,
    apart: bool = True,
    last: bool = True,
    root: bool = True,
    unbiased: bool = False,
    present: bool = True,
) -> Tensor:
    """`x` [N, C, H, W] with one channel more: how much the samples of a group differ.

    `apart`: the samples of a group stand N / G apart, else side by side. `last`: the channel comes behind the others. `root`: a
    standard deviation, else a variance. `present`: else the channel is all zeros.
    """
    samples, size = len(x), min(group, len(x))
    groups = samples // size
    channel = x.new_zeros(samples, 1, *x.shape[2:])
    for g in range(groups if present else 0):
        members = [n for n in range(samples) if (n % groups if apart else n // size) == g]
        variance = x[members].var(0, unbiased=unbiased) + epsilon
        channel[members] = (variance.sqrt() if root else variance).mean()
    return torch.cat([x, channel] if last else [channel, x], 1)


def padded_convolution(
    *, x: Tensor, weight: Tensor, bias: Tensor, stride: tuple[int, int], dilation: tuple[int, int], groups: int, pads: Pads
) -> Tensor:
    """A classifier's convolution: zeros, then VALID; weight [O, I / groups, kh, kw]."""
    return F.conv2d(zero_padded(x, pads), weight, None, stride, 0, dilation, groups) + bias[:, None, None]


def batch_norm(*, x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, offset: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset over the channels of [N, C, H, W]."""
    mean, variance, scale, offset = (t[:, None, None] for t in (mean, variance, scale, offset))
    return (x - mean) / (variance + epsilon).sqrt() * scale + offset


def score(*, outputs: Tensor, probabilities: Tensor) -> Tensor:
    """The discriminator's end: outputs [N, labels] summed under the label probabilities, [N, 1]."""
    return (outputs * probabilities).sum(1, keepdim=True)


def clamped(x: Tensor, limit: float | None) -> Tensor:
    """`x` with magnitudes of at most `limit` (None: any)."""
    return x if limit is None else x.minimum(x.new_tensor(limit)).maximum(x.new_tensor(-limit))


def leaky(x: Tensor, slope: float, gain: float) -> Tensor:
    """The leaky ReLU and the gain behind it."""
    return torch.where(x > 0, x, x * slope) * gain


def zero_padded(x: Tensor, pads: Pads) -> Tensor:
    """`x` [N, C, H, W] with zeros (top, bottom, left, right)."""
    top, bottom, left, right = pads
    out = x.new_zeros(*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
    out[:, :, top : top + x.shape[2], left : left + x.shape[3]] = x
    return out


def insert_zeros(x: Tensor) -> Tensor:
    """A zero after every row and every column: [N, C, H, W] to [N, C, 2 H, 2 W]."""
    out = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    out[:, :, ::2, ::2] = x
    return out


def filtered(x: Tensor, taps: Sequence[float], axis_gain: float, total: int, shift: int = 0) -> Tensor:
    """`x` [N, C, H, W] convolved (with the flipped kernel) with the taps, which sum to `axis_gain`, after `total` zeros an axis.

    The larger half of an odd total stands before; `shift` moves that many zeros from before to behind.
    """
    line = torch.tensor(taps, dtype=x.dtype, device=x.device).flip(0) * (axis_gain / sum(taps))
    before, after = total - total // 2 - shift, total // 2 + shift
    n, c, h, w = x.shape
    alone = zero_padded(x.reshape(n * c, 1, h, w), (before, after, before, after))
    alone = F.conv2d(F.conv2d(alone, line[None, None, :, None]), line[None, None, None, :])
    return alone.reshape(n, c, *alone.shape[2:])


def same_zeros(size: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's SAME: zeros (before, after), so that ceil(size / stride) windows fit; the smaller half before."""
    windows = -(-size // stride)
    reach = (windows - 1) * stride + (kernel - 1) * dilation + 1
    total = max(reach - size, 0)
    return total // 2, total - total // 2


def same_pads(x: Tensor, weight: Tensor, stride: Sequence[int] = (1, 1), dilation: Sequence[int] = (1, 1)) -> Pads:
    """`same_zeros` of both axes for `x` [N, C, H, W] and `weight` [O, I, kh, kw]."""
    top, bottom = same_zeros(x.shape[2], weight.shape[2], stride[0], dilation[0])
    left, right = same_zeros(x.shape[3], weight.shape[3], stride[1], dilation[1])
    return top, bottom, left, right
