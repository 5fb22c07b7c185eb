"""The synthesis network: styles to an image (Karras et al. 2020, StyleGAN2, figures 2 and 7: skip connections between toRGBs)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stylexport.torch_models.config import GeneratorConfig, channels_by_resolution
from stylexport.torch_models.layers.equalized import LeakyReLU
from stylexport.torch_models.layers.modulated_conv import modulated_conv2d, modulated_pointwise
from stylexport.torch_models.layers.precision import full_dtype
from stylexport.torch_models.layers.resampling import Fir
from stylexport.torch_models.layers.styles import Styles, conv_layers, torgb_layers

NOISES = ("const", "random", "none")


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution (doubling where `up`), noise, bias, leaky ReLU: TensorFlow's GeneratorLayer, Conv0Up and Conv1.

    `weight` is [O, I, 3, 3]. **Where `up`, it is TensorFlow's flipped in both spatial axes** (see `conv_transpose_up`).
    `noise_const` [r, r] is the released constant noise; `noise_strength` has no axes.
    """

    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, resolution: int, config: GeneratorConfig, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.has_noise = config.has_noise
        if config.has_noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.epsilon = config.demodulation_epsilon
        self.equalized = config.equalized_convolutions
        self.activation = LeakyReLU(config.leaky_slope, config.gain, config.conv_clamp)
        self.fir = Fir(config.fir, axis_gain=2.0) if up else None

    def forward(self, x: Tensor, style: Tensor, noise: str | Tensor = "const") -> Tensor:
        """`x` [N, I, h, h] under `style` [N, I] to [N, O, r, r]. `noise`: one of `NOISES`, or a tensor [N or 1, 1, r, r].

        Raises ValueError for an unknown noise or a style of another length.
        """
        if style.shape[-1] != self.weight.shape[1]:
            raise ValueError(f"this layer's style has its {self.weight.shape[1]} input channels, not {style.shape[-1]} values")
        gain = self.activation.gain
        y = modulated_conv2d(x, self.weight, style, self.epsilon, gain, self.fir, equalized=self.equalized)
        wide = full_dtype(y)
        added = self._noise(noise, y)
        if added is not None:
            y = y.add_((added.to(wide) * (self.noise_strength.to(wide) * gain)).to(y.dtype))
        y = y.add_((self.bias.to(wide) * gain).to(y.dtype)[:, None, None])
        return self.activation(y)

    def _noise(self, noise: str | Tensor, y: Tensor) -> Tensor | None:
        """The noise image that `noise` stands for, for an output `y` [N, O, r, r]; None where there is none."""
        if isinstance(noise, Tensor):
            return noise if self.has_noise else None
        if noise not in NOISES:
            raise ValueError(f"noise is one of {', '.join(NOISES)}, or a tensor for each layer, not {noise!r}")
        if not self.has_noise:
            return None
        if noise == "random":
            return torch.randn(y.shape[0], 1, *y.shape[2:], dtype=y.dtype, device=y.device)
        return self.noise_const if noise == "const" else None


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to the image's channels, not demodulated, and bias: TensorFlow's ToRGB. `weight` [3, I, 1, 1]."""

    def __init__(self, inputs: int, outputs: int, clamp: float | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.clamp = clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """`x` [N, I, r, r] under `style` [N, I] to [N, 3, r, r]. Raises ValueError for a style of another length."""
        if style.shape[-1] != self.weight.shape[1]:
            raise ValueError(f"this layer's style has its {self.weight.shape[1]} input channels, not {style.shape[-1]} values")
        # The image sums what every resolution adds, so it keeps the style's dtype: float32 under autocast.
        y = modulated_pointwise(x, self.weight, style).to(style.dtype)
        y = y + self.bias.to(y.dtype)[:, None, None]
        return (y if self.clamp is None else y.clamp(-self.clamp, self.clamp)).contiguous()


class SynthesisBlock(nn.Module):
    """One resolution: `const` and `conv1` at 4 px, `conv0` (doubling) and `conv1` above, then `torgb` onto the doubled image."""

    def __init__(self, inputs: int, outputs: int, resolution: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.resolution = resolution
        if resolution == 4:
            self.const = nn.Parameter(torch.randn(outputs, 4, 4))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, resolution, config, up=True)
            self.upsample = Fir(config.fir, axis_gain=2.0)
        self.conv1 = SynthesisLayer(outputs, outputs, resolution, config, up=False)
        self.torgb = ToRGB(outputs, config.image_channels, config.conv_clamp)

    def forward(
        self, x: Tensor | None, image: Tensor | None, conv: Sequence[Tensor], torgb: Tensor, noise: Sequence[str | Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Features and image of the block before (None at 4 px) to this block's; one style and one noise a convolution."""
        x = self.const[None].to(conv[0].dtype) if x is None else self.conv0(x, conv[0], noise[0])
        return self.finish(x, image, conv[-1], torgb, noise[-1])

    def finish(self, x: Tensor, image: Tensor | None, conv: Tensor, torgb: Tensor, noise: str | Tensor = "const") -> tuple[Tensor, Tensor]:
        """The block from `conv1` on: `x` is what enters that, `conv` its style."""
        x = self.conv1(x, conv, noise)
        rgb = self.torgb(x, torgb)
        return x, rgb if image is None else self.upsample.upsample(image) + rgb


class LayerInput(NamedTuple):
    """What enters a convolution: the features [N, C, h, h], and the image [N, 3, h, h] that the block doubles (None at 4 px)."""

    x: Tensor
    image: Tensor | None


class Synthesis(nn.Module):
    """Styles to images: blocks `b4`, `b8`, ... A style with one row holds for the whole batch.

    Layers up to the first style with more rows than one run once for all of them, so that a batch of edits of one image costs
    nothing below the edited layer.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels = channels_by_resolution(config.resolution, config.channels)
        for r, c in channels.items():
            self.add_module(f"b{r}", SynthesisBlock(channels.get(r // 2, c), c, r, config))
        self.blocks = tuple(f"b{r}" for r in channels)

    def forward(self, styles: Styles | Sequence[Sequence[Tensor]], noise: str | Sequence[Tensor] = "const") -> Tensor:
        """Images [N, 3, R, R], unclipped, of `styles` (a `Styles`, or the released pair of lists).

        `noise`: "const" adds the released constant noise, "random" a fresh normal one a sample, "none" nothing; or one tensor a
        convolution in the styles' order, each of which broadcasts to [N, 1, r, r].
        Raises ValueError where the number of styles or of noises, or a style's length, is not this network's.
        """
        conv, torgb = styles
        names, rgb_names = list(conv_layers(self.config)), list(torgb_layers(self.config))
        if (len(conv), len(torgb)) != (len(names), len(rgb_names)):
            raise ValueError(f"{len(names)} conv and {len(rgb_names)} toRGB styles go in, not {len(conv)} and {len(torgb)}")
        noises: Sequence[str | Tensor] = [noise] * len(names) if isinstance(noise, str) else list(noise)
        if len(noises) != len(names):
            raise ValueError(f"one noise image a convolution, {len(names)} in all, not {len(noises)}")
        x: Tensor | None = None
        image: Tensor | None = None
        for i, block in enumerate(self.blocks):
            own = slice(max(2 * i - 1, 0), 2 * i + 1)
            x, image = getattr(self, block)(x, image, conv[own], torgb[i], noises[own])
        assert image is not None
        return image

    def layer_inputs(self, styles: Styles) -> tuple[LayerInput, ...]:
        """What enters each convolution under `styles` and the constant noise, in the styles' order; for `resume`."""
        conv, torgb = styles
        x = self._block(0).const[None].to(conv[0].dtype)
        found = [LayerInput(x, None)]
        x, image = self._block(0).finish(x, None, conv[0], torgb[0])
        for i in range(1, len(self.blocks)):
            middle = self._block(i).conv0(x, conv[2 * i - 1])
            found += [LayerInput(x, image), LayerInput(middle, image)]
            x, image = self._block(i).finish(middle, image, conv[2 * i], torgb[i])
        return tuple(found)

    def resume(self, layer: int, entering: LayerInput, styles: Styles) -> Tensor:
        """Images as `forward` makes them with the constant noise, from convolution number `layer` on, given what enters it.

        Styles of the layers below are not read.
        """
        conv, torgb = styles
        first = (layer + 1) // 2
        x, image = entering
        if layer % 2:
            x = self._block(first).conv0(x, conv[layer])
        x, image = self._block(first).finish(x, image, conv[2 * first], torgb[first])
        for i in range(first + 1, len(self.blocks)):
            x, image = self._block(i)(x, image, conv[2 * i - 1 : 2 * i + 1], torgb[i], ("const", "const"))
        return image

    def _block(self, i: int) -> SynthesisBlock:
        block: SynthesisBlock = getattr(self, self.blocks[i])
        return block
