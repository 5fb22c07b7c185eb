"""What an image goes through between the generative model and a classifier. It is explicit, and a run records it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylexport.common.errors import BadInput
from stylexport.common.json_files import from_json

# Rec. 601 luma, as Pillow's convert("L") weighs a colour.
LUMA = (0.299, 0.587, 0.114)
CHANNELS = ("RGB", "BGR", "L")


@dataclass(frozen=True)
class Preprocessing:
    """Images [N, 3, R, R] of a model to a classifier's input: size, then range, then channel order, then (x - mean) / std.

    `size` (height, width), resized bilinearly with antialiasing; None: as it comes. `range` (black, white); None: the model's own.
    `channels` RGB, BGR, or L for one of luma. `mean` and `std` a channel, in the classifier's order; empty: neither.

    Example:
        >>> Preprocessing(range=(0.0, 1.0), mean=(0.5,), std=(0.5,))(torch.full((1, 3, 2, 2), -1.0), (-1.0, 1.0)).unique()
        tensor([-1.])

    """

    size: tuple[int, int] | None = None
    range: tuple[float, float] | None = None
    channels: str = "RGB"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.channels not in CHANNELS:
            raise BadInput(f"channels are {', '.join(CHANNELS)}, not {self.channels!r}")
        count = len(self.channels)
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) not in (1, count):
                raise BadInput(f"{name}: {len(values)} numbers for {count} channels; give one, or one a channel")
        if any(value <= 0 for value in self.std):
            raise BadInput(f"std: {self.std} holds a number that is not positive")
        if self.size is not None and min(self.size) < 1:
            raise BadInput(f"size: {self.size} is not the size of an image")
        if self.range is not None and not self.range[0] < self.range[1]:
            raise BadInput(f"range: {self.range} does not run from black up to white")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The preprocessing that a run recorded. Raises ValueError where it is none."""
        return from_json(cls, values)

    def to_json(self) -> dict[str, Any]:
        """The record of it."""
        return dataclasses.asdict(self)

    def __call__(self, images: Tensor, image_range: tuple[float, float]) -> Tensor:
        """`images` [N, 3, R, R] in `image_range` to what the classifier takes, [N, channels, height, width]."""
        x = images
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", align_corners=False, antialias=True)
        if self.range is not None and self.range != tuple(image_range):
            (low, high), (black, white) = image_range, self.range
            x = (x - low) * ((white - black) / (high - low)) + black
        if self.channels == "BGR":
            x = x.flip(1)
        elif self.channels == "L":
            x = (x * _channels(LUMA, x)).sum(1, keepdim=True)
        x = x - _channels(self.mean, x) if self.mean else x
        return x / _channels(self.std, x) if self.std else x


def _channels(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)
