"""Frozen graphs of TensorFlow 2 callables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def freeze(model: Any, size: Sequence[int], path: Path) -> Path:
    """A frozen GraphDef of a Keras model on images [N, *size]."""
    call = tf.function(lambda images: model(images, training=False))
    frozen = convert_variables_to_constants_v2(call.get_concrete_function(tf.TensorSpec([None, *size])))
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    return path
