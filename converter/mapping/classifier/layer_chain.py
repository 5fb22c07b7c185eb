"""A convolutional classifier as a chain of steps, whatever it was read from: a graph, Keras's configuration, or names alone.

The three readers (from_graph, from_keras, from_names) give the same steps; `mobilenet_rules` makes a configuration and a rule table of
them. Weights are named by checkpoint key.
"""

from __future__ import annotations

from dataclasses import dataclass

from stylexport.converter.mapping.network import NotThisNetwork


class NotAChain(NotThisNetwork):
    """The network is not a chain of a MobileNetV1's steps. The message says where it differs."""


@dataclass(frozen=True)
class Pad:
    """Explicit zeros (top, bottom, left, right)."""

    sides: tuple[int, int, int, int]


@dataclass(frozen=True)
class Conv:
    """A convolution; `dense` marks a matrix product, which is a 1x1 convolution on a pooled map."""

    kernel: str
    depthwise: bool = False
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str | tuple[int, int, int, int] = "same"
    dense: bool = False


@dataclass(frozen=True)
class Bias:
    """A bias, one value a channel."""

    key: str


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation by moving moments; `gamma` and `beta` None where the layer has none."""

    epsilon: float
    gamma: str | None
    beta: str | None
    mean: str
    variance: str


@dataclass(frozen=True)
class Activation:
    """A nonlinearity by its Keras name; `slope` of a leaky one."""

    name: str
    slope: float = 0.0


@dataclass(frozen=True)
class Pool:
    """Global average pooling; `height` of its window where it has one, which must then be the map's."""

    height: int | None = None


@dataclass(frozen=True)
class Reshape:
    """A change of shape that moves no number. Behind the pooling it changes nothing; before, it would mix rows and columns."""


@dataclass(frozen=True)
class Dropout:
    """Dropout of the given rate, which does nothing at inference."""

    rate: float


@dataclass(frozen=True)
class Scale:
    """What the network does to its input before the first convolution: x * scale + shift."""

    scale: float
    shift: float


Step = Pad | Conv | Bias | BatchNorm | Activation | Pool | Reshape | Dropout | Scale
