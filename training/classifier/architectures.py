"""A new classifier of each kind, behind the preprocessing that it has when it is opened by its name later."""

from __future__ import annotations

import dataclasses

from torch import nn

from stylexport.common.errors import BadInput
from stylexport.torch_models.classifiers.builders import TORCHVISION, build, torchvision_builder
from stylexport.torch_models.classifiers.open import IMAGENET, Classifier
from stylexport.torch_models.classifiers.preprocessing import Preprocessing
from stylexport.torch_models.config import MobileNetV1Config, mobilenet_layers
from stylexport.torch_models.mobilenet import MobileNetV1
from stylexport.training.classifier.classifier_config import MOBILENET, ClassifierTraining

IMAGE_RANGE = (-1.0, 1.0)


def new_classifier(config: ClassifierTraining, labels: tuple[str, ...]) -> Classifier:
    """The classifier with random weights, of images in [-1, 1]. Raises BadInput where there is no such architecture."""
    name = config.architecture
    if name == MOBILENET:
        if config.size not in (None, config.data.resolution):
            raise BadInput(f"size: a MobileNetV1 takes images of data.resolution, {config.data.resolution}; leave size out")
        module, usual = _mobilenet(config, len(labels)), Preprocessing((config.data.resolution,) * 2)
    elif name.startswith(TORCHVISION):
        module, usual = torchvision_builder(name, "architecture:", "train")(num_classes=len(labels)), IMAGENET
    elif ":" in name:
        module, usual = build(name, "architecture:"), Preprocessing()
    else:
        raise BadInput(f"architecture: {name!r} is not {MOBILENET}, {TORCHVISION}NAME or PACKAGE:BUILD")
    chosen = usual if config.size is None else dataclasses.replace(usual, size=(config.size, config.size))
    return Classifier(module, chosen, IMAGE_RANGE, name, None, labels)


def _mobilenet(config: ClassifierTraining, labels: int) -> nn.Module:
    layers = mobilenet_layers(config.width)
    return MobileNetV1(
        MobileNetV1Config(layers, labels=labels, resolution=config.data.resolution, dropout=config.dropout, momentum=config.momentum)
    )
