"""Modulated convolution with the weights shared in the batch (Karras et al. 2020, StyleGAN2, section 2.2, equations 1 to 3).

The paper scales and normalises a copy of the weights a sample. Convolution is linear, so scaling the input by the style,
convolving once and scaling the output by the demodulation is the same function, and only styles vary in the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stylexport.torch_models.layers.precision import HALF, arrange, compute_dtype, full_dtype, without_autocast
from stylexport.torch_models.layers.resampling import Fir, conv_transpose_up
from stylexport.torch_models.layers.same_padding import conv2d_same


def weight_power(weight: Tensor) -> Tensor:
    """Sum of squares of `weight` [O, I, kh, kw] over its taps: [O, I]."""
    return weight.square().sum((2, 3))


def demodulation(power: Tensor, style: Tensor, coefficient: float, epsilon: float) -> Tensor:
    """Equation 3, 1 / sqrt(sum over i, kh, kw of (c w s)^2 + epsilon), [N, O]: from `weight_power` [O, I] and `style` [N, I].

    The sum over the taps does not depend on the sample, so a matrix product of squares gives it without a weight copy a sample.
    """
    return torch.rsqrt(style.square() @ power.t() * coefficient**2 + epsilon)


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, epsilon: float, gain: float = 1.0, up: Fir | None = None, *, equalized: bool = True
) -> Tensor:
    """A gain times the demodulated convolution of `x` [N, I, H, W] with `weight` [O, I, k, k] (unscaled) under `style` [N, I].

    Where it is not `equalized` the weights are taken as they are; after demodulation only what epsilon weighs is different.

    Returns [N, O, H, W], or [N, O, 2 H, 2 W] where `up` is given (`conv_transpose_up`). `x` or `style` may have one row, shared
    by all.

    In 16 bits the style is divided by its largest value p and each output's weights by their norm n, and the demodulation,
    computed in float32, takes both back: conv(x s / p, w / n) (d p n) is the same function, and the sum stays within float16's
    range.
    """
    dtype = compute_dtype(x)
    coefficient = 1 / math.sqrt(weight[0].numel()) if equalized else 1.0
    with without_autocast(x):
        wide = full_dtype(style)
        style, weight = style.to(wide), weight.to(wide)
        power = weight_power(weight)
        scale = demodulation(power, style, coefficient, epsilon) * gain  # [N, O]
        if dtype in HALF:
            # The function does not depend on p and n, so no gradient needs to pass through them.
            tiny = torch.finfo(wide).tiny
            peak = style.detach().abs().amax(1, keepdim=True).clamp_min(tiny)  # [N, 1]
            norm = power.detach().sum(1).sqrt().clamp_min(tiny)  # [O]
            style, weight, scale = style / peak, weight / norm[:, None, None, None], scale * (peak * norm * coefficient)
        else:
            style = style * coefficient
    x = arrange(x.to(dtype) * style.to(dtype)[:, :, None, None])
    weight = weight.to(dtype)
    y = conv_transpose_up(x, weight, up) if up else conv2d_same(x, weight)
    return y.mul_(scale.to(dtype)[:, :, None, None])


def modulated_pointwise(x: Tensor, weight: Tensor, style: Tensor) -> Tensor:
    """1x1 convolution of `x` [N, I, H, W] with `weight` [O, I, 1, 1] under `style` [N, I], not demodulated: [N, O, H, W].

    With so few outputs the weights a sample are smaller than one row of the image, so here they are what the style scales.
    """
    dtype = compute_dtype(x)
    wide = full_dtype(style)
    coefficient = 1 / math.sqrt(weight.shape[1])
    scaled = weight.to(wide)[:, :, 0, 0] * (style.to(wide) * coefficient)[:, None]  # [N, O, I]
    return torch.einsum("nihw,noi->nohw", x.to(dtype), scaled.to(dtype))
