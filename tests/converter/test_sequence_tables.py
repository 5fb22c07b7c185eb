"""The documented tables of recurrent layers and attention fill PyTorch's own layers so that they compute what Keras computes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylexport.converter.output.convert import convert
from stylexport.converter.output.safetensors_file import read
from tests.converter.bundles import write_bundle

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"
TABLES = {found[1]: found[0] for found in re.findall(r"^```yaml\n(network: (\w+)\n.*?)^```$", PAGE.read_text(), re.M | re.S)}
X = np.random.default_rng(0).normal(size=(4, 7, 5)).astype(np.float32)


class Holder(nn.Module):
    """A module with one layer under the name that the documented table gives it."""

    def __init__(self, name: str, layer: nn.Module) -> None:
        super().__init__()
        self.add_module(name, layer)
        self.layer = [layer]  # in a list, so that its tensors have one name

    def filled(self, tensors: Mapping[str, Any]) -> nn.Module:
        self.load_state_dict({name: torch.tensor(np.array(value)) for name, value in tensors.items()})
        return self.layer[0]


def converted(folder: Path, source: Path, table: str) -> dict[str, Any]:
    (folder / "table.yaml").write_text(table)
    convert(source, folder / "out", mapping=folder / "table.yaml")
    name = table.split()[1]
    ledger = json.loads((folder / "out" / name / "conversion.json").read_text())
    tensors = dict(read(folder / "out" / name / "model.safetensors"))
    assert {row["tensor"] for row in [*ledger["tensors"], *ledger.get("filled", [])]} == set(tensors)
    return tensors


def keras_lstm(layers: Any) -> list[Any]:
    return [layers.LSTM(6, name="lstm", return_sequences=True)]


def keras_stacked(layers: Any) -> list[Any]:
    def lstm() -> Any:
        return layers.LSTM(6, name="lstm", return_sequences=True)

    return [layers.Bidirectional(lstm(), name=f"bi{i}") for i in (0, 1)]


def keras_gru(layers: Any) -> list[Any]:
    return [layers.GRU(6, name="gru", return_sequences=True)]


RECURRENT: dict[str, tuple[Callable[[Any], list[Any]], Callable[[], Holder]]] = {
    "lstm": (keras_lstm, lambda: Holder("lstm", nn.LSTM(5, 6, batch_first=True))),
    "stacked": (keras_stacked, lambda: Holder("lstm", nn.LSTM(5, 6, 2, batch_first=True, bidirectional=True))),
    "gru": (keras_gru, lambda: Holder("gru", nn.GRU(5, 6, batch_first=True))),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", RECURRENT)
def test_the_documented_table_of_a_recurrent_layer(name: str, tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    build, holder = RECURRENT[name]
    rng = np.random.default_rng(1)
    model = keras.Sequential([keras.Input((7, 5)), *build(keras.layers)])
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    tf.saved_model.save(model, tmp_path / "model")
    layer = holder().filled(converted(tmp_path, tmp_path / "model", TABLES[name]))
    close(layer(torch.tensor(X))[0], model(X))


@pytest.mark.tensorflow
def test_the_documented_table_of_an_attention(tmp_path: Path) -> None:
    import keras
    import tensorflow as tf

    rng, x = np.random.default_rng(1), np.random.default_rng(2).normal(size=(3, 7, 8)).astype(np.float32)
    given = keras.Input((7, 8))
    model = keras.Model(given, keras.layers.MultiHeadAttention(2, 4, name="mha")(given, given))
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.4, variable.shape))
    tf.saved_model.save(model, tmp_path / "model")
    tensors = converted(tmp_path, tmp_path / "model", TABLES["attention"])
    layer = Holder("mha", nn.MultiheadAttention(8, 2, batch_first=True)).filled(tensors)
    close(layer(*[torch.tensor(x)] * 3)[0], model(x))
    ledger = json.loads((tmp_path / "out" / "attention" / "conversion.json").read_text())
    joined = [(row["variable"], row["part"]) for row in ledger["tensors"] if row["tensor"] == "mha.in_proj_weight"]
    assert joined == [("mha/query/kernel", "[0:8]"), ("mha/key/kernel", "[8:16]"), ("mha/value/kernel", "[16:24]")]


def test_the_documented_table_of_tensorflow_1s_cell(tmp_path: Path) -> None:
    """The cell is computed here by its definition (tensorflow/python/keras/layers/legacy_rnn/rnn_cell_impl.py)."""
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(0, 0.4, (11, 24)).astype(np.float32), rng.normal(0, 0.4, 24).astype(np.float32)
    bundle = write_bundle(tmp_path / "model", {"rnn/basic_lstm_cell/kernel": kernel, "rnn/basic_lstm_cell/bias": bias})
    layer = Holder("lstm", nn.LSTM(5, 6, batch_first=True)).filled(converted(tmp_path, bundle, TABLES["basic_lstm"]))
    h = c = np.zeros((4, 6))
    for t in range(7):
        i, j, f, o = np.split(np.concatenate([X[:, t], h], 1) @ kernel + bias, 4, 1)
        c = c / (1 + np.exp(-(f + 1.0))) + np.tanh(j) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    close(layer(torch.tensor(X))[0][:, -1], h)


def test_variables_are_joined_along_another_axis(tmp_path: Path) -> None:
    variables = {"cell/kernel": np.float32([[1, 2, 3]]), "cell/recurrent": np.float32([[4, 5, 6], [7, 8, 9]])}
    table = "network: n\ntensors: [{tf: [cell/kernel, cell/recurrent], torch: w, layout: dense, axis: 1, shape: [3, 3]}]"
    tensors = converted(tmp_path, write_bundle(tmp_path / "model", variables), table)
    assert tensors["w"].tolist() == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]


def close(found: Tensor, expected: Any) -> None:
    found, expected = found.detach().double().numpy(), np.asarray(expected, np.float64)
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)
