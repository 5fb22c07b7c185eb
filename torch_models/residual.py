"""The trunk that encoder and discriminator share: StyleGAN2's residual discriminator (Karras et al. 2020, figure 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylexport.torch_models.config import DiscriminatorConfig, EncoderConfig, channels_by_resolution
from stylexport.torch_models.layers.equalized import Conv, Dense, LeakyReLU
from stylexport.torch_models.layers.mbstd import MinibatchStd
from stylexport.torch_models.layers.precision import arrange
from stylexport.torch_models.pretrained import PretrainedNetwork


class ResidualBlock(nn.Module):
    """x -> (conv1(conv0(x)) + skip(x)) * residual_scale, at half the size; the first block also holds `fromrgb`."""

    def __init__(self, inputs: int, outputs: int, config: EncoderConfig | DiscriminatorConfig, first: bool) -> None:
        super().__init__()
        activation = LeakyReLU(config.leaky_slope, config.gain, _clamp(config))
        self.residual_scale = config.residual_scale
        self.fromrgb = Conv(config.image_channels, inputs, 1, activation=activation) if first else None
        self.conv0 = Conv(inputs, inputs, 3, activation=activation)
        self.conv1 = Conv(inputs, outputs, 3, activation=activation, down=config.fir)
        self.skip = Conv(inputs, outputs, 1, bias=False, down=config.fir)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, I, r, r] (an image where the block is the first) to [N, O, r / 2, r / 2]."""
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return torch.add(self.conv1(self.conv0(x)), self.skip(x)).mul_(self.residual_scale)


class Head(nn.Module):
    """The block at 4 px: minibatch standard deviation (the discriminator's), `conv`, `fc`, and `out`, which is linear."""

    def __init__(self, channels: int, outputs: int, config: EncoderConfig | DiscriminatorConfig) -> None:
        super().__init__()
        activation = LeakyReLU(config.leaky_slope, config.gain)
        clamped = LeakyReLU(config.leaky_slope, config.gain, _clamp(config))
        scores = isinstance(config, DiscriminatorConfig)
        self.mbstd = MinibatchStd(config.mbstd_group, config.mbstd_epsilon) if isinstance(config, DiscriminatorConfig) else None
        self.conv = Conv(channels + scores, channels, 3, activation=clamped)
        self.fc = Dense(channels * 16, config.hidden, activation=activation)
        self.out = Dense(config.hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, C, 4, 4] to [N, outputs]; the features are flattened in the order C, H, W."""
        if self.mbstd is not None:
            x = self.mbstd(x)
        return self.out(self.fc(self.conv(x).flatten(1)))


def _clamp(config: EncoderConfig | DiscriminatorConfig) -> float | None:
    """What a convolution's output is clamped to; the dense layers' is not."""
    return config.conv_clamp if isinstance(config, DiscriminatorConfig) else None


class ResidualTrunk(PretrainedNetwork):
    """An image [N, 3, R, R] through the blocks `b{R}` ... `b8` and the head `b4`, to [N, outputs]."""

    def __init__(self, config: EncoderConfig | DiscriminatorConfig, outputs: int) -> None:
        super().__init__(config)
        channels = channels_by_resolution(config.resolution, config.channels)
        if config.resolution == 4:
            raise ValueError("an encoder or discriminator takes images of 8 px or more, not 4")
        for r in reversed(channels):
            if r > 4:
                self.add_module(f"b{r}", ResidualBlock(channels[r], channels[r // 2], config, first=r == config.resolution))
        self.add_module("b4", Head(channels[4], outputs, config))
        self.blocks = tuple(f"b{r}" for r in reversed(channels))
        self.image_shape = (config.image_channels, config.resolution, config.resolution)

    def trunk(self, image: Tensor) -> Tensor:
        """`image` [N, 3, R, R] to [N, outputs]. Raises ValueError for an image of another shape."""
        if image.ndim != 4 or tuple(image.shape[1:]) != self.image_shape:
            raise ValueError(f"images are [N, {', '.join(map(str, self.image_shape))}] here (channels first), not {list(image.shape)}")
        x = arrange(image)
        for block in self.blocks:
            x = getattr(self, block)(x)
        return x
