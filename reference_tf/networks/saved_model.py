"""Writing a reference network as the release does: a Keras SavedModel in the original's layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from stylexport.common.errors import BadInput
from stylexport.reference_tf.networks.build import build
from stylexport.reference_tf.networks.variables import assign, draw
from stylexport.torch_models.config import NetworkConfig

DATA_FORMATS = ("NCHW", "NHWC")


def export_network(
    network: str,
    config: NetworkConfig,
    variables: Mapping[str, Any] | None,
    folder: Path | str,
    *,
    data_format: str = "NCHW",
    seed: int = 0,
) -> dict[str, Any]:
    """Write a network as a Keras SavedModel that `tf.saved_model.load` and `tf_keras.models.load_model` open.

    `network` is the configuration's ("generator", "encoder", "discriminator", "classifier"). `variables` are assigned by name;
    None draws random ones from the seed. With data_format "NCHW" the graph has the original's convolutions, with "NHWC"
    each has a transpose before and after it, so that the graph runs on a CPU; inputs and outputs have the same shapes in both. Returns the
    variables by name. Raises BadInput for a network that the configuration is not of, and MappingError as `assign` does.
    """
    if network != config.network:
        raise BadInput(f"asked for a {network}, but the configuration is of a {config.network}")
    if data_format not in DATA_FORMATS:
        raise BadInput(f"data format {data_format!r} is not one of {', '.join(DATA_FORMATS)}")
    model = build(config, cpu=data_format == "NHWC")
    if variables is None:
        variables = draw(config, model, seed)
    assign(model, variables)
    save(model, folder)
    return dict(variables)


def save(model: Any, folder: Path | str) -> None:
    """Write a model as a SavedModel. It is only traced, so that it may contain NCHW convolutions on a CPU.

    Keras's warning that the model was not compiled is suppressed: it is not meant to be.
    """
    level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")
    try:
        model.save(str(folder), save_format="tf", include_optimizer=False)
    finally:
        tf.get_logger().setLevel(level)
    _without_uuid(Path(folder) / "fingerprint.pb")


def _without_uuid(path: Path) -> None:
    """Remove the one random value of a SavedModel, so that the same weights give the same bytes."""
    if path.is_file():  # TensorFlow before 2.12 writes none
        fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
        fingerprint.uuid = ""
        path.write_bytes(fingerprint.SerializeToString(deterministic=True))
