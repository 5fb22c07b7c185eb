"""A network that StylExport does not know, made known by this file alone: a classifier of two convolutions.

It is what docs/architecture.md, "Adding a network", asks for: configuration, PyTorch module, recognition and rule table, TensorFlow
reference, faults for the self-test, and the declaration that names them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact
from stylexport.converter.mapping.layouts import Hwio, Layout
from stylexport.converter.mapping.network import Network, NotThisNetwork, Recognition, facts
from stylexport.converter.mapping.rules import Names, Rule, match
from stylexport.parity.selftest.changes import Change, tensor
from stylexport.torch_models.config import NetworkConfig
from stylexport.torch_models.kinds import Lazy, NetworkKind
from stylexport.torch_models.pretrained import PretrainedNetwork


@dataclass(frozen=True)
class TwoConvolutionsConfig(NetworkConfig):
    """A 3x3 convolution, ReLU, a 1x1 convolution, the mean over the map: logits."""

    network: ClassVar[str] = "classifier"
    architecture: ClassVar[str] = "two_convolutions"

    channels: int
    labels: int = 2
    resolution: int = 8
    image_channels: int = 3


class TwoConvolutions(PretrainedNetwork):
    """The module: `first`, `second`."""

    config_class = TwoConvolutionsConfig
    config: TwoConvolutionsConfig

    def __init__(self, config: TwoConvolutionsConfig) -> None:
        super().__init__(config)
        self.first = nn.Conv2d(config.image_channels, config.channels, 3, padding=1)
        self.second = nn.Conv2d(config.channels, config.labels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Images [N, 3, R, R] to logits [N, labels]."""
        return self.second(self.first(image).relu()).mean((2, 3))


def table(config: TwoConvolutionsConfig) -> list[Rule]:
    """Every tensor and its variable."""
    return [
        Rule("first/kernel", "first.weight", Hwio(), (config.channels, config.image_channels, 3, 3)),
        Rule("first/bias", "first.bias", Layout(), (config.channels,)),
        Rule("second/kernel", "second.weight", Hwio(), (config.labels, config.channels, 1, 1)),
        Rule("second/bias", "second.bias", Layout(), (config.labels,)),
    ]


def find(artefact: Artefact, names: Names) -> Network:
    """The network in an artefact: it has exactly four variables, in two layers of these names."""
    if len(names.variables) != 4 or not names.find("first/kernel") or not names.find("second/kernel"):
        raise NotThisNetwork("no two convolutions called first and second")
    where = str(artefact.path)
    _, _, image_channels, channels = names.shape_of("first/kernel", where, 4)
    config = TwoConvolutionsConfig(channels, names.shape_of("second/kernel", where, 4)[3], image_channels=image_channels)
    sources = dict.fromkeys(("channels", "labels", "image_channels"), "shapes")
    return Network(config.network, config, match(table(config), names, where, config.network), facts(config, sources))


def model(config: TwoConvolutionsConfig, execution: Any) -> Any:
    """The same network as a tf_keras functional model, images [N, R, R, 3]."""
    from tf_keras import Input, Model, layers

    image = Input((config.resolution, config.resolution, config.image_channels), dtype=execution.dtype)
    x = layers.Conv2D(config.channels, 3, padding="same", activation="relu", name="first", dtype=execution.dtype)(image)
    x = layers.Conv2D(config.labels, 1, name="second", dtype=execution.dtype)(x)
    return Model(image, layers.GlobalAveragePooling2D(dtype=execution.dtype)(x))


def outputs(network: Any, given: Mapping[str, Array]) -> dict[str, Array]:
    """The logits of images [N, 3, R, R]."""
    return {"logits": network(given["image"].transpose(0, 2, 3, 1), training=False).numpy()}


def reference() -> Any:
    """The TensorFlow side; imported here alone, so that the rest of this file costs no TensorFlow."""
    from stylexport.reference_tf.networks.build import Reference

    return Reference(model, outputs)


def __getattr__(name: str) -> Any:
    if name == "REFERENCE":
        return reference()
    raise AttributeError(name)


def _in(layer: str, change: Change) -> Change:
    return lambda module: change(module.get_submodule(layer))


RECOGNITION = Recognition(find, find, table)
FAULTS = (
    ("kernel_flipped", "first", "kernel flipped in both axes", _in("first", tensor("weight", lambda w: w.flip(2, 3)))),
    ("kernel_transposed_hw", "first", "height and width swapped", _in("first", tensor("weight", lambda w: w.transpose(2, 3)))),
    ("bias_missing", "second", "no bias", _in("second", tensor("bias", torch.zeros_like))),
)
TOY = NetworkKind(
    config=TwoConvolutionsConfig,
    source="this test",
    module=Lazy("tests.toy_kind:TwoConvolutions"),
    recognition=Lazy("tests.toy_kind:RECOGNITION"),
    released_file="two_convolutions.savedmodel",
    shared=("image_channels", "labels"),
    sizes=("channels", "labels"),
    inputs={"image": 4},
    outputs=("logits",),
    layout="NHWC",
    reference=Lazy("tests.toy_kind:REFERENCE"),
    gates=Lazy("stylexport.parity.compare.gates:CLASSIFIER_GATES"),
    faults=Lazy("tests.toy_kind:FAULTS"),
)
