"""A network that others trained and released: the SavedModel of TensorFlow 2.4 in basic-pitch 0.4.0, beside its own ONNX file.

The ONNX file was made from the same weights by another program (tf2onnx). It holds four convolutions' kernels and biases as they are,
and three normalisations folded: two into the convolution before them, one into a scale and an offset.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from stylexport.common.types import Array
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.output.ledger import read_ledger
from stylexport.inspection import inspect
from stylexport.torch_models.kinds import KINDS
from tests.conftest import run

TABLE = """
network: pitch
config: {sample_rate: 22050}
tensors:
  - {tf: "conv2d_{n}/kernel", torch: "conv{n}.weight", layout: conv, for: {n: [1, 2, 3, 4, 5]}}
  - {tf: "conv2d_{n}/bias", torch: "conv{n}.bias", for: {n: [1, 2, 3, 4, 5]}}
  - {tf: contours-reduced/kernel, torch: contour.weight, layout: conv, shape: [1, 8, 5, 5]}
  - {tf: contours-reduced/bias, torch: contour.bias}
  - {key: layer_with_weights-0/gamma/.ATTRIBUTES/VARIABLE_VALUE, torch: norm1.weight}
  - {tf: batch_normalization/beta, torch: norm1.bias}
  - {tf: batch_normalization/moving_mean, torch: norm1.running_mean}
  - {tf: batch_normalization/moving_variance, torch: norm1.running_var}
  - {tf: "batch_normalization_{n}/gamma", torch: "norm{n}.weight", for: {n: [2, 3]}}
  - {tf: "batch_normalization_{n}/beta", torch: "norm{n}.bias", for: {n: [2, 3]}}
  - {tf: "batch_normalization_{n}/moving_mean", torch: "norm{n}.running_mean", for: {n: [2, 3]}}
  - {tf: "batch_normalization_{n}/moving_variance", torch: "norm{n}.running_var", for: {n: [2, 3]}}
"""


class Pitch(nn.Module):
    """The layers with weights, in PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.BatchNorm2d(channels, eps=1e-3) for channels in (1, 8, 32))
        self.conv1 = nn.Conv2d(8, 8, (3, 39))
        self.contour = nn.Conv2d(8, 1, 5)
        self.conv2 = nn.Conv2d(1, 32, 7)
        self.conv3 = nn.Conv2d(32, 1, (7, 3))
        self.conv4 = nn.Conv2d(8, 32, 5)
        self.conv5 = nn.Conv2d(33, 1, 3)


@pytest.fixture(scope="session")
def converted_pitch(basic_pitch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network converted by TABLE."""
    folder = tmp_path_factory.mktemp("pitch")
    (folder / "table.yaml").write_text(TABLE)
    ran = run("convert", basic_pitch / "nmp", "-o", folder / "out", "--mapping", folder / "table.yaml")
    assert ran.code == 0, ran.err
    return folder / "out" / "pitch"


@pytest.fixture(scope="session")
def initialisers(basic_pitch: Path) -> dict[str, Array]:
    """The ONNX file's constants by name."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(basic_pitch / "nmp.onnx").graph.initializer}


def test_inspect_names_versions_variables_and_slots(basic_pitch: Path) -> None:
    found = inspect(basic_pitch / "nmp")
    assert found["versions"] == {"tensorflow": "2.4.1", "keras": "2.4.0"}
    assert (found["totals"]["variables"], found["totals"]["slots"]) == (24, 49)
    slots = [v["slot"] for v in found["variables"] if v["slot"]]
    counts = {kind: sum(slot.startswith(kind) for slot in slots) for kind in ("optimizer/m", "optimizer/v", "metric/")}
    assert counts == {"optimizer/m": 18, "optimizer/v": 18, "metric/": 8}
    assert found["network"] is None
    assert set(found["unrecognised"]) == {kind.label for kind in KINDS.values()}


def test_four_convolutions_are_in_the_onnx_file_bit_for_bit(basic_pitch: Path, initialisers: dict[str, Array]) -> None:
    artefact = open_artefact(basic_pitch / "nmp")
    by_name = {v.name: v for v in artefact.variables if v.slot is None}
    held = {(array.shape, array.tobytes()) for array in initialisers.values()}
    for layer in ("contours-reduced", "conv2d_2", "conv2d_3", "conv2d_5"):
        kernel = np.ascontiguousarray(artefact.read(by_name[f"{layer}/kernel"]).transpose(3, 2, 0, 1))
        bias = artefact.read(by_name[f"{layer}/bias"])
        assert (kernel.shape, kernel.tobytes()) in held
        assert (bias.shape, bias.tobytes()) in held


@pytest.mark.parametrize(("conv", "norm"), [("conv1", "norm2"), ("conv4", "norm3")])
def test_two_convolutions_with_their_normalisation_folded_in(
    conv: str, norm: str, converted_pitch: Path, initialisers: dict[str, Array]
) -> None:
    tensors = {name: value.double().numpy() for name, value in load_file(converted_pitch / "model.safetensors").items()}
    scale = tensors[f"{norm}.weight"] / np.sqrt(tensors[f"{norm}.running_var"] + 1e-3)
    kernel = tensors[f"{conv}.weight"] * scale[:, None, None, None]
    bias = (tensors[f"{conv}.bias"] - tensors[f"{norm}.running_mean"]) * scale + tensors[f"{norm}.bias"]
    assert nearest(kernel, initialisers) < 1e-6
    assert nearest(bias, initialisers) < 1e-6


def test_the_first_normalisation_as_a_scale_and_an_offset(converted_pitch: Path, initialisers: dict[str, Array]) -> None:
    tensors = {name: value.double().numpy() for name, value in load_file(converted_pitch / "model.safetensors").items()}
    scale = tensors["norm1.weight"] / np.sqrt(tensors["norm1.running_var"] + 1e-3)
    assert nearest(scale, initialisers) < 1e-6
    assert nearest(tensors["norm1.bias"] - tensors["norm1.running_mean"] * scale, initialisers) < 1e-6


def nearest(value: Array, initialisers: dict[str, Array]) -> float:
    """The least distance of an initialiser of this shape, as a share of the value's norm."""
    distances = [np.linalg.norm(array - value) for array in initialisers.values() if array.shape == value.shape]
    return float(min(distances) / np.linalg.norm(value))


def test_a_users_own_table_carries_it_into_a_module(converted_pitch: Path) -> None:
    module = Pitch()
    module.load_state_dict(load_file(converted_pitch / "model.safetensors"))
    assert json.loads((converted_pitch / "config.json").read_text()) == {"network": "pitch", "sample_rate": 22050}
    ledger = read_ledger(converted_pitch / "conversion.json")
    assert (len(ledger.tensors), len(ledger.left_out)) == (24, 49)
    assert torch.equal(module.conv1.weight, load_file(converted_pitch / "model.safetensors")["conv1.weight"])
