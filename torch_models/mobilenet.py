"""MobileNetV1 with TensorFlow's padding and Keras's BatchNorm (Howard et al. 2017, "MobileNets", table 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.torch_models.config import ConvSpec, MobileNetV1Config
from stylexport.torch_models.layers.activations import activation
from stylexport.torch_models.layers.precision import arrange, full_dtype
from stylexport.torch_models.layers.same_padding import conv2d_same
from stylexport.torch_models.pretrained import PretrainedNetwork


class PaddedConv(nn.Module):
    """The convolution of a `ConvSpec`: weight [O, I, kh, kw], depthwise [O, 1, kh, kw] with one group a channel."""

    def __init__(self, inputs: int, spec: ConvSpec) -> None:
        super().__init__()
        self.stride, self.dilation, self.padding = spec.stride, spec.dilation, spec.padding
        self.groups = inputs if spec.depthwise else 1
        if spec.out % self.groups:
            raise ValueError(f"a depthwise convolution of {inputs} channels makes a multiple of them, not {spec.out}")
        if isinstance(spec.padding, str) and spec.padding not in ("same", "valid"):
            raise ValueError(f"padding is same, valid or four numbers, not {spec.padding!r}")
        self.weight = nn.Parameter(torch.empty(spec.out, inputs // self.groups, *spec.kernel))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.bias = nn.Parameter(torch.zeros(spec.out)) if spec.bias else None

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, I, H, W] to [N, O, H', W']."""
        weight = self.weight.to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        if self.padding == "same":
            return conv2d_same(x, weight, bias, self.stride, self.dilation, self.groups)
        if not isinstance(self.padding, str):
            top, bottom, left, right = self.padding
            x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, weight, bias, self.stride, 0, self.dilation, self.groups)


class BatchNorm(nn.Module):
    """BatchNorm over channels whose scale and offset may be absent, as Keras's may. It counts no batches.

    `momentum` is PyTorch's: the weight of the new batch, 1 minus Keras's. Statistics stay in float32 for 16-bit inputs.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, epsilon: float, momentum: float, scale: bool, center: bool) -> None:
        super().__init__()
        self.epsilon, self.momentum = epsilon, momentum
        self.weight = nn.Parameter(torch.ones(channels)) if scale else None
        self.bias = nn.Parameter(torch.zeros(channels)) if center else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, C, H, W], normalised by the batch in training and by the running statistics else."""
        dtype = full_dtype(x)
        mean, var = self.running_mean.to(dtype), self.running_var.to(dtype)
        weight = None if self.weight is None else self.weight.to(dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        y = F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.epsilon)
        if self.training and dtype != self.running_mean.dtype:
            # Statistics of another dtype were converted for the kernel, which updated the copies.
            self.running_mean.copy_(mean)
            self.running_var.copy_(var)
        return y

    def extra_repr(self) -> str:
        """Epsilon and momentum."""
        return f"epsilon={self.epsilon}, momentum={self.momentum}"


class ConvUnit(nn.Module):
    """One `ConvSpec`: `conv`, `bn` (where the spec has an epsilon), `act`."""

    def __init__(self, inputs: int, spec: ConvSpec, momentum: float) -> None:
        super().__init__()
        self.conv = PaddedConv(inputs, spec)
        self.bn = None if spec.epsilon is None else BatchNorm(spec.out, spec.epsilon, momentum, spec.scale, spec.center)
        self.act = activation(spec.activation, spec.slope)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [N, I, H, W] to [N, O, H', W']."""
        x = self.conv(x)
        return self.act(x if self.bn is None else self.bn(x))


class MobileNetV1(PretrainedNetwork):
    """The classifier: `conv0`, then `b{i}.depthwise` and `b{i}.pointwise` from i = 1, global average pool, dropout, `head`.

    Example:
        >>> from stylexport.torch_models.config import mobilenet_layers
        >>> MobileNetV1(MobileNetV1Config(mobilenet_layers(width=0.25), labels=3)).eval()(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 3])

    """

    config_class = MobileNetV1Config
    config: MobileNetV1Config

    def __init__(self, config: MobileNetV1Config) -> None:
        super().__init__(config)
        if len(config.layers) % 2 == 0:
            raise ValueError(f"MobileNetV1 is a stem and pairs of depthwise and pointwise layers, not {len(config.layers)} layers")
        inputs = config.image_channels
        units = []
        for spec in config.layers:
            units.append(ConvUnit(inputs, spec, config.momentum))
            inputs = spec.out
        self.conv0 = units[0]
        self.blocks = tuple(f"b{i}" for i in range(1, len(units) // 2 + 1))
        for i, block in enumerate(self.blocks):
            pair = nn.Sequential()
            pair.add_module("depthwise", units[2 * i + 1])
            pair.add_module("pointwise", units[2 * i + 2])
            self.add_module(block, pair)
        self.dropout = nn.Dropout(config.dropout)
        head = ConvSpec(config.labels, kernel=(1, 1), padding="valid", bias=config.head_bias)
        self.head = PaddedConv(inputs, head)

    def forward(self, image: Tensor) -> Tensor:
        """`image` [N, 3, H, W] in [-1, 1] to raw logits [N, labels]. Raises ValueError for another number of channels."""
        if image.ndim != 4 or image.shape[1] != self.config.image_channels:
            raise ValueError(f"images are [N, {self.config.image_channels}, H, W] here (channels first), not {list(image.shape)}")
        x = self.conv0(arrange(image * self.config.image_scale + self.config.image_shift))
        for block in self.blocks:
            x = getattr(self, block)(x)
        pooled = x.to(full_dtype(x)).mean((2, 3), keepdim=True)
        return self.head(self.dropout(pooled.to(x.dtype)))[:, :, 0, 0]
