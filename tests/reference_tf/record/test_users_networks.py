"""Networks that TensorFlow made, from the SavedModel to the verdict: shared layers, named outputs, tokens, constants, sums."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch
from torch import Tensor, nn

from stylexport.parity.proof import verify_module
from stylexport.reference_tf.record import record

pytestmark = pytest.mark.tensorflow

NAMES = {"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
LAYOUTS = {2: "dense", 4: "conv"}


class Original(tf.Module):
    """A plain module whose variables are drawn."""

    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        draw = tf.random.Generator.from_seed(3)
        self.of = {name: tf.Variable(draw.normal(shape) * 0.5, name=name.replace("__", "/")) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The recordings by name."""
    top = tmp_path_factory.mktemp("users")

    def made(name: str, model: Any, spec: tf.TensorSpec | None = None) -> Path:
        if spec is None:
            tf.saved_model.save(model, str(top / name))
            variables = {v.path if hasattr(v, "path") else v.name.split(":")[0]: v.shape for v in model.weights}
        else:
            tf.saved_model.save(model, str(top / name), signatures=model.call.get_concrete_function(spec))
            variables = {v.name.split(":")[0]: v.shape for v in model.of.values()}
        rows = []
        for tf_name, shape in variables.items():
            path, _, last = tf_name.rpartition("/")
            torch_name = f"{path}.{NAMES[last]}" if path else tf_name
            layout = LAYOUTS.get(len(shape), "identity") if path else "identity"
            rows.append(f"  - {{tf: {tf_name}, torch: {torch_name}, layout: {layout}}}")
        (top / f"{name}.yaml").write_text("network: mine\ntensors:\n" + "\n".join(rows))
        record(top / name, top / f"{name}.recording", mapping=top / f"{name}.yaml")
        return top / f"{name}.recording"

    return {
        "siamese": made("siamese", siamese(keras)),
        "siamese of tf_keras": made("siamese_of_tf_keras", siamese(tf_keras)),
        "tokens": made("tokens", tokens(), tf.TensorSpec([None, 8, 8, 3], tf.float32, name="x")),
        "sum": made("sum", biases_last(), tf.TensorSpec([None, 6], tf.float32, name="x")),
    }


def siamese(of: Any) -> Any:
    one, two = of.Input((6,)), of.Input((6,))
    shared = of.layers.Dense(5, activation="relu", name="shared")
    model = of.Model([one, two], of.layers.Dense(2, name="out")(of.layers.Subtract()([shared(one), shared(two)])))
    draw = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(draw.normal(0, 0.4, variable.shape))
    return model


def tokens() -> Original:
    """An image in NHWC, normalised by rounded constants, in patches with a class token and position embeddings; two named outputs."""
    shapes = {"patch__kernel": (4, 4, 3, 6), "patch__bias": (6,), "cls_token": (1, 1, 6), "pos_embed": (1, 5, 6)}
    model = Original(**shapes, head__kernel=(6, 3), head__bias=(3,))
    v = model.of

    @tf.function
    def call(x: Any) -> Any:
        x = (x - tf.constant([0.485, 0.456, 0.406])) / tf.constant([0.229, 0.224, 0.225])
        y = tf.nn.conv2d(x, v["patch__kernel"], 4, "VALID") + v["patch__bias"]
        y = tf.concat([tf.tile(v["cls_token"], [tf.shape(y)[0], 1, 1]), tf.reshape(y, [-1, 4, 6])], 1) + v["pos_embed"]
        return {"logits": tf.tanh(y[:, 0]) @ v["head__kernel"] + v["head__bias"], "embedded": tf.transpose(y, [0, 2, 1])}

    model.call = call
    return model


def biases_last() -> Original:
    model = Original(a__kernel=(6, 6), a__bias=(6,), head__kernel=(6, 3), head__bias=(3,))
    v = model.of
    model.call = tf.function(lambda x: tf.nn.relu(x + x @ v["a__kernel"] + v["a__bias"]) @ v["head__kernel"] + v["head__bias"])
    return model


class Siamese(nn.Module):
    def __init__(self, way: str = "") -> None:
        super().__init__()
        self.shared, self.out, self.way = nn.Linear(6, 5), nn.Linear(5, 2), way

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        if self.way == "at once":
            y, z = self.shared(torch.cat([one, two])).relu().chunk(2)
        else:
            z = self.shared(one if self.way == "wrong" else two).relu()
            y = self.shared(one).relu()
        return self.out(y - z)


class Tokens(nn.Module):
    def __init__(self, way: str = "") -> None:
        super().__init__()
        self.patch, self.head, self.way = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 3), way
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, 6)), nn.Parameter(torch.zeros(1, 5, 6))

    def forward(self, x: Tensor) -> Any:
        mean, scale = (x.new_tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        y = self.patch((x - mean) / scale).flatten(2).transpose(1, 2)
        y = torch.cat([self.cls_token.expand(len(y), -1, -1), y], 1)
        if self.way != "no positions":
            y = y + self.pos_embed
        logits = self.head(y[:, 0].tanh())
        if self.way == "last token":
            logits = self.head(y[:, -1].tanh())
        return (logits, y) if self.way == "tuple" else {"embedded": y.transpose(1, 2), "logits": logits}


class Sum(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.a, self.head, self.factor = nn.Linear(6, 6), nn.Linear(6, 3), factor

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x + self.factor * self.a(x)).relu())


@pytest.mark.parametrize("original", ["siamese", "siamese of tf_keras"])
@pytest.mark.parametrize("way", ["", "at once"])
def test_a_shared_layer_passes_in_another_order_and_at_once(recorded: dict[str, Path], original: str, way: str) -> None:
    assert verify_module(Siamese(way), recorded[original]).verdict == "pass"


def test_a_shared_layer_that_runs_twice_on_one_input_is_a_fault(recorded: dict[str, Path]) -> None:
    report = verify_module(Siamese("wrong"), recorded["siamese"])
    assert [(fault.layer, fault.cause) for fault in report.faults] == [("out", "number_of_calls")]
    assert [name.split(" (")[0] for name in report.unmatched] == ["mine: shared, call 2 of 2"]


@pytest.mark.parametrize(("way", "said"), [("", "by their names"), ("tuple", "by their values")])
def test_tokens_positions_and_named_outputs_pass(recorded: dict[str, Path], way: str, said: str) -> None:
    report = verify_module(Tokens(way), recorded["tokens"])
    assert (report.verdict, report.matched) == ("pass", report.taps)
    assert any(said in remark for remark in report.remarks)


@pytest.mark.parametrize("way", ["no positions", "last token"])
def test_tokens_used_otherwise_are_a_fault(recorded: dict[str, Path], way: str) -> None:
    report = verify_module(Tokens(way), recorded["tokens"])
    assert report.verdict == "fault"
    assert ("parameter_place" in {fault.cause for fault in report.faults}) == (way == "no positions")


def test_a_residual_that_the_graph_adds_before_the_bias_passes_and_a_wrong_one_does_not(recorded: dict[str, Path]) -> None:
    report = verify_module(Sum(), recorded["sum"])
    assert (report.verdict, {layer.name: layer.verdict for layer in report.layers}["a"]) == ("pass", "reordered")
    assert verify_module(Sum(1.00001), recorded["sum"]).verdict == "fault"
