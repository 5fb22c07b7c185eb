"""StyleGAN2's resampling filters: a separable FIR on its own, before a strided convolution, or on a doubled image.

Everything is defined by zero insertion: put a zero after every sample, pad, convolve with the outer product of the normalised
taps (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4; Zhang 2019, "Making Convolutional
Networks Shift-Invariant Again"). Padding centres the filter; an odd zero goes before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def split_padding(total: int) -> tuple[int, int]:
    """(before, after) of `total` zeros round a filter; the larger half goes before."""
    return total - total // 2, total // 2


class Fir(nn.Module):
    """A FIR filter along both spatial axes: taps normalised to sum `axis_gain` an axis (2 makes up for inserted zeros).

    It has methods and no forward: what it returns belongs to the layer that asked, which may go on in place. The 2-d kernel is a
    buffer outside the state dict, because `config.json` holds the taps. Raises ValueError for fewer than two taps or taps that
    sum to zero.
    """

    kernel: Tensor

    def __init__(self, taps: Sequence[float], axis_gain: float = 1.0) -> None:
        super().__init__()
        if len(taps) < 2 or not sum(taps):
            raise ValueError(f"a resampling filter needs two taps or more with a sum other than zero, not {tuple(taps)}")
        # Reversed, because PyTorch's convolution is a correlation.
        self.taps = tuple(t * axis_gain / sum(taps) for t in reversed(taps))
        self.reset_kernel()

    def reset_kernel(self, device: torch.device | str | None = None) -> None:
        """Make the kernel buffer on `device` (a network that was built on the meta device has no values in it)."""
        taps = torch.tensor(self.taps, device=device)
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def filter(self, x: Tensor, padding: tuple[int, int], stride: int = 1) -> Tensor:
        """`x` [N, C, H, W] padded by (before, after) on both axes, filtered, and every `stride`-th sample kept."""
        if x.dtype == torch.float64 and x.device.type == "cpu":
            return self._shifted_sums(x, padding, stride)
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, -1, -1)
        if padding[0] == padding[1]:
            return F.conv2d(x, kernel, stride=stride, padding=padding[0], groups=channels)
        return F.conv2d(F.pad(x, (*padding, *padding)), kernel, stride=stride, groups=channels)

    def _shifted_sums(self, x: Tensor, padding: tuple[int, int], stride: int) -> Tensor:
        """The same by adding shifted copies: the CPU's grouped float64 convolution takes ten times as long."""
        x = F.pad(x, (*padding, *padding))
        for axis in (2, 3):
            size = x.shape[axis] - len(self.taps) + 1
            shifted = [x.narrow(axis, i, size) for i in range(len(self.taps))]
            total = shifted[0] * self.taps[0]
            for tap, part in zip(self.taps[1:], shifted[1:], strict=True):
                total = total.add_(part, alpha=tap)
            x = total
        return x[:, :, ::stride, ::stride]

    def upsample(self, x: Tensor) -> Tensor:
        """`x` [N, C, H, W] doubled to [N, C, 2 H, 2 W]: zero insertion, padding, filter, in its polyphase form.

        With a zero after every sample, an output of phase p meets only every other tap, so each phase is a short sum of shifted
        inputs and no zero is ever multiplied. For [1, 3, 3, 1] the padding is (2, 1).
        """
        before, _ = split_padding(len(self.taps) - 1)
        for axis in (2, 3):
            size = x.shape[axis]
            # Output 2 i + p meets tap k at input i + (p + k - before) / 2, where that is whole.
            reach = [[(t, (p + k - before) // 2) for k, t in enumerate(self.taps) if (p + k - before) % 2 == 0] for p in (0, 1)]
            offsets = [offset for phase in reach for _, offset in phase]
            first = min(offsets)
            margin = (-first, max(offsets))
            padded = F.pad(x, (*margin, 0, 0) if axis == 3 else (0, 0, *margin))
            phases = [sum_terms([padded.narrow(axis, o - first, size) * t for t, o in phase]) for phase in reach]
            x = torch.stack(phases, axis + 1).flatten(axis, axis + 1)
        return x


def sum_terms(terms: Sequence[Tensor]) -> Tensor:
    """The sum of one tensor or more of one shape."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def conv_transpose_up(x: Tensor, weight: Tensor, fir: Fir) -> Tensor:
    """Double `x` [N, I, H, W] by a transposed convolution of stride 2 and smooth it: [N, O, 2 H, 2 W].

    `weight` is [O, I, 3, 3] as the state dict holds it: flipped in both spatial axes against the correlation kernel that
    TensorFlow stores, which is what `F.conv_transpose2d` scatters, so it is passed on unflipped. The filter's gain must be 2 an
    axis; its padding is (1, 1) for four taps and a 3x3 kernel.
    """
    scattered = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, O, 2 H + k - 2, 2 W + k - 2]
    return fir.filter(scattered, split_padding(len(fir.taps) + 1 - weight.shape[2]))


def conv_down(x: Tensor, weight: Tensor, bias: Tensor | None, fir: Fir) -> Tensor:
    """Smooth `x` [N, I, H, W] and halve it by a VALID convolution of stride 2, weight [O, I, k, k]: [N, O, H / 2, W / 2].

    The filter's padding is (2, 2) for four taps and a 3x3 kernel, (1, 1) for a 1x1 kernel.
    """
    kernel = weight.shape[2]
    padding = split_padding(len(fir.taps) + kernel - 3)
    if kernel == 1:
        # A 1x1 convolution reads only the samples that its stride keeps, so the filter makes no others.
        return F.conv2d(fir.filter(x, padding, stride=2), weight, bias)
    return F.conv2d(fir.filter(x, padding), weight, bias, stride=2)
