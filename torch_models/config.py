"""What a network's files say of its architecture: plain frozen dataclasses, no torch.

The converter fills them from shapes, graph and Keras metadata; the PyTorch modules and the TensorFlow reference build from them;
`config.json` beside each `model.safetensors` is one of them written out. Fields that a file does not hold keep the default given here,
which is the value of the StyleGAN2 or MobileNetV1 paper, and the ledger names every default that was used.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from stylexport.common.json_files import from_json

C = TypeVar("C", bound="NetworkConfig")

SQRT2 = math.sqrt(2.0)


# role in a StylEx -> the architecture that its authors released in it, which a config.json means that names none
RELEASED: Mapping[str, str] = {
    "generator": "stylex_generator",
    "encoder": "stylex_encoder",
    "discriminator": "stylex_discriminator",
    "classifier": "mobilenet_v1",
}


@dataclass(frozen=True)
class NetworkConfig:
    """Base of every configuration: how one is written to `config.json` and read back.

    `network` is the role in a StylEx ("classifier"), or the network's own name where it has no part in one; `architecture` says what
    fills it ("mobilenet_v1").
    """

    network: ClassVar[str] = ""
    architecture: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON-ready values: the role first, then the architecture where it is not the released one.

        Example:
            >>> EncoderConfig(8, (16, 16)).to_json()["network"]
            'encoder'

        """
        named = self.architecture in ("", RELEASED.get(self.network, self.network))
        return {"network": self.network, **({} if named else {"architecture": self.architecture}), **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls: type[C], values: Mapping[str, Any]) -> C:
        """The configuration from `config.json`'s values.

        Raises ValueError if they are of another network, or hold a field that this network does not have or of another type.
        """
        values = dict(values)
        if (network := values.pop("network", cls.network)) != cls.network:
            raise ValueError(f"this config.json is of a {network}, not of a {cls.network}")
        if (architecture := values.pop("architecture", RELEASED.get(network, network))) != cls.architecture:
            raise ValueError(f"this config.json is of the architecture {architecture}, not of {cls.architecture}")
        return from_json(cls, values)


def _tuples(config: object, *names: str) -> None:
    """JSON has only lists: the named fields of a frozen dataclass become tuples."""
    for name in names:
        value = getattr(config, name)
        object.__setattr__(config, name, tuple(value) if isinstance(value, list) else value)


@dataclass(frozen=True)
class GeneratorConfig(NetworkConfig):
    """A StyleGAN2 generator with a w that carries label probabilities (StylEx).

    `channels` runs over the resolutions 4, 8, ... `resolution`. The affines that make styles take `latent + labels` values.
    """

    network: ClassVar[str] = "generator"
    architecture: ClassVar[str] = "stylex_generator"

    resolution: int
    channels: tuple[int, ...]
    latent: int = 512
    labels: int = 2
    z: int = 512
    image_channels: int = 3
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    normalize_epsilon: float = 1e-8
    demodulation_epsilon: float = 1e-8
    leaky_slope: float = 0.2
    gain: float = SQRT2
    fir: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)

    def __post_init__(self) -> None:
        _tuples(self, "channels", "fir")
        channels_by_resolution(self.resolution, self.channels)  # raises where they do not fit

    @property
    def dlatent(self) -> int:
        """Length of a dlatent: w and the label probabilities."""
        return self.latent + self.labels

    @property
    def mapping_sizes(self) -> tuple[int, ...]:
        """How many values go into the first dense layer of the mapping, and how many come out of each."""
        return (self.z, *(self.latent,) * self.mapping_layers)

    # What other StyleGAN2 generators do otherwise (`stylegan2_config.py`).

    @property
    def style_offset(self) -> float:
        """What is added behind a style's affine; 0 where its bias has the one in it."""
        return 1.0

    @property
    def equalized_convolutions(self) -> bool:
        """Whether the weights of a modulated 3x3 convolution are divided by the root of their fan-in."""
        return True

    @property
    def has_noise(self) -> bool:
        """Whether noise is added behind each convolution."""
        return True

    @property
    def conv_clamp(self) -> float | None:
        """The largest magnitude that leaves a layer; None for any."""
        return None


@dataclass(frozen=True)
class EncoderConfig(NetworkConfig):
    """A StyleGAN2 residual discriminator's trunk that ends in w. `channels` runs over 4, 8, ... `resolution`."""

    network: ClassVar[str] = "encoder"
    architecture: ClassVar[str] = "stylex_encoder"

    resolution: int
    channels: tuple[int, ...]
    hidden: int = 512
    latent: int = 512
    image_channels: int = 3
    leaky_slope: float = 0.2
    gain: float = SQRT2
    residual_scale: float = 1 / SQRT2
    fir: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)

    def __post_init__(self) -> None:
        _tuples(self, "channels", "fir")
        channels_by_resolution(self.resolution, self.channels)  # raises where they do not fit


@dataclass(frozen=True)
class DiscriminatorConfig(NetworkConfig):
    """The encoder's trunk plus a minibatch standard deviation channel; the score is sum(outputs * label probabilities)."""

    network: ClassVar[str] = "discriminator"
    architecture: ClassVar[str] = "stylex_discriminator"

    resolution: int
    channels: tuple[int, ...]
    hidden: int = 512
    labels: int = 2
    image_channels: int = 3
    leaky_slope: float = 0.2
    gain: float = SQRT2
    residual_scale: float = 1 / SQRT2
    fir: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    mbstd_group: int = 4
    mbstd_epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _tuples(self, "channels", "fir")
        channels_by_resolution(self.resolution, self.channels)  # raises where they do not fit

    @property
    def outputs(self) -> int:
        """How many values the last layer gives."""
        return self.labels

    @property
    def conv_clamp(self) -> float | None:
        """The largest magnitude that leaves a convolution; None for any."""
        return None


@dataclass(frozen=True)
class ConvSpec:
    """One convolution with what follows it: BatchNorm (when `epsilon` is given) or bias, then an activation.

    `padding` is "same" (TensorFlow's, from the input's size), "valid", or explicit zeros (top, bottom, left, right) before a
    VALID convolution (Keras's ZeroPadding2D).
    """

    out: int
    depthwise: bool = False
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str | tuple[int, int, int, int] = "same"
    bias: bool = False
    epsilon: float | None = 1e-3
    scale: bool = True
    center: bool = True
    activation: str = "relu6"
    slope: float = 0.0

    def __post_init__(self) -> None:
        _tuples(self, "kernel", "stride", "dilation", "padding")


@dataclass(frozen=True)
class MobileNetV1Config(NetworkConfig):
    """MobileNetV1 as read from a graph: a stem convolution, then (depthwise, pointwise) pairs, pool, and a head of raw logits.

    `layers` is [stem, depthwise, pointwise, depthwise, pointwise, ...]. `momentum` is PyTorch's (1 minus Keras's).
    `output` is what the original applied to the logits ("softmax", "sigmoid" or "linear"); the port returns logits always.
    `image_scale` and `image_shift` are what the original's graph did to its input before the stem (x * scale + shift).
    """

    network: ClassVar[str] = "classifier"
    architecture: ClassVar[str] = "mobilenet_v1"

    layers: tuple[ConvSpec, ...]
    labels: int = 2
    resolution: int | None = 256
    image_channels: int = 3
    momentum: float = 0.01
    dropout: float = 0.0
    head_bias: bool = True
    output: str = "linear"
    image_scale: float = 1.0
    image_shift: float = 0.0

    def __post_init__(self) -> None:
        layers = []
        for item in self.layers:
            if isinstance(item, Mapping):
                item = from_json(ConvSpec, item)
            if not isinstance(item, ConvSpec):
                raise ValueError(f"`layers` holds {item!r}, which does not describe a convolution")
            layers.append(item)
        object.__setattr__(self, "layers", tuple(layers))


def log2(resolution: int) -> int:
    """Base-2 logarithm of a resolution. Raises ValueError unless it is a power of two of at least 4."""
    if resolution < 4 or resolution & (resolution - 1):
        raise ValueError(f"a resolution is a power of two from 4, not {resolution}")
    return resolution.bit_length() - 1


def resolutions(resolution: int) -> tuple[int, ...]:
    """4, 8, ... `resolution`."""
    return tuple(2**k for k in range(2, log2(resolution) + 1))


def channel_schedule(resolution: int, base: int = 32768, most: int = 512) -> tuple[int, ...]:
    """The released schedule, min(base / r, most) for r = 4, 8, ... `resolution` (RELEASE_FORMAT: 32768 and 512 at 256 px)."""
    return tuple(min(base // r, most) for r in resolutions(resolution))


def mobilenet_layers(width: float = 1.0, epsilon: float = 1e-3, activation: str = "relu6") -> tuple[ConvSpec, ...]:
    """MobileNetV1's table (Howard et al. 2017, table 1) at a width multiplier."""
    table = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]

    def scaled(n: int) -> int:
        return max(int(n * width), 1)

    layers = [ConvSpec(scaled(32), stride=(2, 2), epsilon=epsilon, activation=activation)]
    for out, stride in table:
        layers.append(ConvSpec(layers[-1].out, depthwise=True, stride=(stride, stride), epsilon=epsilon, activation=activation))
        layers.append(ConvSpec(scaled(out), kernel=(1, 1), epsilon=epsilon, activation=activation))
    return tuple(layers)


def channels_by_resolution(resolution: int, channels: tuple[int, ...]) -> dict[int, int]:
    """{4: channels at 4 px, ..., `resolution`: channels there}. Raises ValueError where there is not one for each resolution."""
    sizes = resolutions(resolution)
    if len(channels) != len(sizes):
        raise ValueError(f"{resolution} px takes {len(sizes)} channel counts, for {sizes}; `channels` holds {len(channels)}")
    return dict(zip(sizes, channels, strict=True))
