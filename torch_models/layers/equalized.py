"""Dense and convolution layers with the equalised learning rate: weights lie unscaled and are scaled at run time.

The coefficient is 1 / sqrt(fan in), times the layer's learning-rate multiplier (Karras et al. 2018, "Progressive Growing of
GANs", section 4.1; StyleGAN2 multiplies both weight and bias by the multiplier).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.torch_models.layers.precision import autocasts, compute_dtype, full_dtype, without_autocast
from stylexport.torch_models.layers.resampling import Fir, conv_down
from stylexport.torch_models.layers.same_padding import conv2d_same


@dataclass(frozen=True)
class LeakyReLU:
    """gain * leaky_relu(x): TensorFlow StyleGAN2's activation after a bias.

    A leaky ReLU is positively homogeneous, so the layers multiply weights and bias by the gain, which are small, and not the
    activations. What comes out is clamped to [-`clamp`, `clamp`] where that is given. Raises ValueError where the gain is not positive.
    """

    slope: float
    gain: float
    clamp: float | None = None

    def __post_init__(self) -> None:
        if not self.gain > 0:
            raise ValueError(f"the activation's gain must be positive, not {self.gain}")

    def __call__(self, x: Tensor) -> Tensor:
        """The activation of an `x` that carries the gain already, in place: only for a tensor that no one else holds."""
        y = F.leaky_relu(x, self.slope, inplace=True)
        return y if self.clamp is None else y.clamp_(-self.clamp, self.clamp)


class Dense(nn.Module):
    """x [..., in] -> activation((x c W^T + m b)): W [out, in], c = m / sqrt(in), m the learning-rate multiplier.

    Under autocast it stays in float32: it costs little, and what it makes (w, styles, scores) loses too much in 16 bits.
    """

    def __init__(self, inputs: int, outputs: int, *, lr_multiplier: float = 1.0, activation: LeakyReLU | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.lr_multiplier = lr_multiplier
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """`x` [..., in] to [..., out]."""
        gain = self.activation.gain if self.activation else 1.0
        # Under autocast, what convolutions made of 16 bits comes in.
        x = x.to(full_dtype(x)) if autocasts(x) else x
        with without_autocast(x):
            # The input is the smallest thing to scale, and c * x is what the weight's coefficient comes to.
            scaled = x * (gain * self.lr_multiplier / math.sqrt(self.weight.shape[1]))
            y = F.linear(scaled, self.weight.to(x.dtype), self.bias.to(x.dtype) * (gain * self.lr_multiplier))
        return self.activation(y) if self.activation else y


class Conv(nn.Module):
    """Convolution, bias, activation of the encoder and the discriminator; weight [O, I, k, k].

    `down` halves: the filter `fir` first, then stride 2 VALID. Else the padding is SAME.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool = True,
        activation: LeakyReLU | None = None,
        down: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.activation = activation
        self.fir = Fir(down) if down is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, I, H, W] to [N, O, H, W], halved where the layer does."""
        dtype = compute_dtype(x)
        gain = self.activation.gain if self.activation else 1.0
        coefficient = gain / math.sqrt(self.weight[0].numel())
        weight = (self.weight.to(full_dtype(x)) * coefficient).to(dtype)
        bias = (self.bias.to(full_dtype(x)) * gain).to(dtype) if self.bias is not None else None
        y = conv_down(x.to(dtype), weight, bias, self.fir) if self.fir else conv2d_same(x.to(dtype), weight, bias)
        return self.activation(y) if self.activation else y
