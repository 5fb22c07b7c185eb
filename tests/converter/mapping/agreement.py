"""Whether a converted classifier computes what its original did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stylexport.common.types import Array
from stylexport.converter.output.convert import convert
from stylexport.converter.output.ledger import Ledger
from stylexport.torch_models import MobileNetV1
from stylexport.torch_models.config import MobileNetV1Config

# Float32 rounding through 28 layers; a wrong epsilon of 1e-5 for 1e-3 is 100 times as much.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Original:
    """Files of one network, and what TensorFlow gives: images [N, H, W, 3], logits [N, labels], and `output` behind the logits."""

    files: Mapping[str, Path]
    images: Array
    logits: Array
    output: str = "linear"


@dataclass(frozen=True)
class Port:
    """A converted classifier: its configuration and ledger, and its logits [N, labels] on the original's images."""

    config: MobileNetV1Config
    ledger: Ledger
    logits: Array

    def error(self, original: Original) -> float:
        """The largest absolute difference over the original's standard deviation, behind the output that the configuration names."""
        ours, theirs = (activated(values, self.config.output) for values in (self.logits, original.logits))
        assert ours.shape == theirs.shape
        return float(np.abs(ours - theirs).max() / theirs.std())

    def source(self, field: str) -> str:
        """What told a field of the configuration."""
        return next(str(fact["from"]) for fact in self.ledger.config if fact["field"] == field)


def port(file: Path, out: Path, images: Array) -> Port:
    """`file` converted to the folder `out` and run on images [N, H, W, C]."""
    ledger = convert(file, out).ledgers["classifier"]
    network = MobileNetV1.from_pretrained(out / "classifier")
    with torch.no_grad():
        logits = network(torch.tensor(images.transpose(0, 3, 1, 2)))
    return Port(network.config, ledger, logits.numpy())


def activated(logits: Array, output: str) -> Array:
    """The logits behind `output`."""
    if output == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-logits)))
    if output == "softmax":
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
    assert output == "linear"
    return logits


def images(size: Sequence[int], count: int = 3) -> Array:
    """Images [count, *size] in [-1, 1]."""
    return np.random.default_rng(5).uniform(-1, 1, (count, *size)).astype(np.float32)
