"""Names and shapes alone tell a MobileNetV1 of the paper's layers, at any width and for any count of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import MappingError
from stylexport.converter.output.convert import convert
from stylexport.converter.output.safetensors_file import read
from stylexport.torch_models.config import MobileNetV1Config, mobilenet_layers
from tests.converter.mapping.weights import Arrays, keras_weights


def converted(arrays: Arrays, folder: Path) -> MobileNetV1Config:
    np.savez(folder / "weights.npz", **arrays)
    config = convert(folder / "weights.npz", folder / "out").ledgers["classifier"].config
    return MobileNetV1Config.from_json({fact["field"]: fact["value"] for fact in config})


@pytest.mark.parametrize(("width", "labels"), [(0.05, 1), (0.25, 2), (0.5, 7), (0.03, 40)])
def test_width_and_labels_are_read_from_shapes(width: float, labels: int, tmp_path: Path) -> None:
    expected = MobileNetV1Config(mobilenet_layers(width), labels=labels, resolution=None)
    assert converted(keras_weights(expected), tmp_path) == expected


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_members_in_another_order_than_the_layers(order: str, tmp_path: Path) -> None:
    expected = MobileNetV1Config(mobilenet_layers(0.05), labels=3, resolution=None)
    arrays = keras_weights(expected)
    names = {"sorted": sorted(arrays), "reversed": list(arrays)[::-1], "shuffled": list(np.random.default_rng(1).permutation([*arrays]))}
    assert converted({name: arrays[name] for name in names[order]}, tmp_path) == expected
    tensors = read(tmp_path / "out" / "classifier" / "model.safetensors")
    for number in (1, 2, 9, 10, 13):  # 10 stands before 2 where names are sorted by letters
        name = "depthwise_conv2d" if number == 1 else f"depthwise_conv2d_{number - 1}"
        kernel = arrays[f"{name}/depthwise_kernel"]
        np.testing.assert_array_equal(tensors[f"b{number}.depthwise.conv.weight"][:, 0], kernel[..., 0].transpose(2, 0, 1))
        gamma = arrays[f"batch_normalization_{2 * number}/gamma"]
        np.testing.assert_array_equal(tensors[f"b{number}.pointwise.bn.weight"], gamma)


def test_a_layer_too_few_has_no_known_strides(tmp_path: Path) -> None:
    layers = mobilenet_layers(0.05)[:-2]
    with pytest.raises(MappingError, match="only the paper's 27 layers have known strides; this one has 25"):
        converted(keras_weights(MobileNetV1Config(layers, labels=2)), tmp_path)


def test_a_normalisation_without_its_moments_is_not_whole(tmp_path: Path) -> None:
    arrays = keras_weights(MobileNetV1Config(mobilenet_layers(0.05), labels=2))
    del arrays["batch_normalization_4/moving_mean"]
    with pytest.raises(MappingError, match="batch_normalization_4 lacks its moving moments"):
        converted(arrays, tmp_path)


def test_a_kernel_of_other_channels_than_the_layer_before_is_named(tmp_path: Path) -> None:
    arrays = keras_weights(MobileNetV1Config(mobilenet_layers(0.05), labels=2))
    arrays["conv2d_5/kernel"] = arrays["conv2d_5/kernel"][:, :, 1:]
    with pytest.raises(MappingError, match=r"conv2d_5/kernel has shape \[1, 1, 11, 12\].*b5.pointwise.conv.weight needs"):
        converted(arrays, tmp_path)
