"""Small classifiers by hand, each as a frozen graph (told by the graph) and as a whole-model .h5 (told by Keras's configuration)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tf_keras
from tf_keras import layers as L

from tests.converter.mapping.agreement import Original, images
from tests.converter.mapping.freezing import freeze
from tests.converter.mapping.weights import randomise

SIZE = (16, 16, 3)
Layers = Sequence[Any]


def norm(**options: Any) -> Any:
    """A BatchNormalization with an epsilon that is not a default."""
    return L.BatchNormalization(**{"epsilon": 2e-3, **options})


def stem(out: int = 5, **options: Any) -> Any:
    """The first convolution, 3x3 / 2 SAME without bias."""
    return L.Conv2D(out, 3, **{"strides": 2, "padding": "same", "use_bias": False, **options})


def depthwise(**options: Any) -> Any:
    """A depthwise 3x3 / 2 SAME convolution without bias."""
    return L.DepthwiseConv2D(3, **{"strides": 2, "padding": "same", "use_bias": False, **options})


def pointwise(out: int = 6, **options: Any) -> Any:
    """A 1x1 convolution without bias."""
    return L.Conv2D(out, 1, use_bias=False, **options)


def relu6() -> Any:
    """ReLU up to 6."""
    return L.ReLU(6.0)


def trunk() -> list[Any]:
    """A stem and one pair, each with normalisation and ReLU6."""
    return [stem(), norm(), relu6(), depthwise(), norm(), relu6(), pointwise(), norm(), relu6()]


def head(labels: int = 2, **options: Any) -> list[Any]:
    """Global average pooling and a 1x1 convolution to the labels."""
    return [L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(labels, 1, **options), L.Flatten()]


def original(layers: Layers, folder: Path, *, size: Sequence[int] = SIZE, output: str = "linear") -> Original:
    """A functional model of the layers, with random weights, in both files. `output` is applied by a last layer of its own."""
    given = tf_keras.Input(tuple(size))
    logits = given
    for layer in layers:
        logits = layer(logits)
    ends = {"linear": lambda x: x, "softmax": L.Softmax(), "sigmoid": L.Activation("sigmoid")}
    model = tf_keras.Model(given, ends[output](logits))
    return saved(model, folder, tf_keras.Model(given, logits), size, output)


def saved(
    model: Any, folder: Path, logits: Callable[[Any], Any] | None = None, size: Sequence[int] = SIZE, output: str = "linear"
) -> Original:
    """A model with random weights in both files; `logits` gives what stands before its output, by default the model itself."""
    randomise(model.weights)
    model.save(folder / "model.h5")
    files = {"graph": freeze(model, size, folder / "frozen.pb"), "Keras's configuration": folder / "model.h5"}
    given = images(size)
    return Original(files, given, (logits or model)(given).numpy(), output)
