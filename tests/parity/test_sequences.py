"""Layers of sequences: a right port passes however it gives its results, a wrong one is a fault of that layer, and named."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stylexport.parity.proof import verify_module
from stylexport.parity.result import Report

pytestmark = pytest.mark.tensorflow

N, T, IN, H, WIDTH = 4, 5, 3, 4, 6
Take = Callable[[Any], Tensor]
OUT = "  - {tf: out/kernel, torch: out.weight, layout: dense}\n  - {tf: out/bias, torch: out.bias}\n"
LSTM = """  - {{tf: {tf}lstm_cell/kernel, torch: {to}weight_ih{l}, layout: lstm}}
  - {{tf: {tf}lstm_cell/recurrent_kernel, torch: {to}weight_hh{l}, layout: lstm}}
  - {{tf: {tf}lstm_cell/bias, torch: {to}bias_ih{l}}}
  - {{fill: 0, torch: {to}bias_hh{l}, shape: [16]}}
"""
OWN = """  - {tf: CELL/kernel, torch: rnn.kernel}
  - {tf: CELL/recurrent_kernel, torch: rnn.recurrent}
  - {tf: CELL/bias, torch: rnn.bias}
"""
BASIC = """  - {tf: "basic_lstm_cell/kernel[:3]", torch: rnn.weight_ih_l0, layout: basic_lstm}
  - {tf: "basic_lstm_cell/kernel[3:]", torch: rnn.weight_hh_l0, layout: basic_lstm}
  - {tf: basic_lstm_cell/bias, torch: rnn.bias_ih_l0, layout: basic_lstm}
  - {fill: [0, 1, 0, 0], torch: rnn.bias_hh_l0, shape: [16]}
"""
JOINED = """  - {tf: [mha/query/kernel, mha/key/kernel, mha/value/kernel], torch: mha.in_proj_weight, layout: heads}
  - {tf: [mha/query/bias, mha/key/bias, mha/value/bias], torch: mha.in_proj_bias, layout: heads_bias}
  - {tf: mha/attention_output/kernel, torch: mha.out_proj.weight, layout: heads_out}
  - {tf: mha/attention_output/bias, torch: mha.out_proj.bias}
"""
APART = """  - {tf: "mha/{i}/kernel", torch: "mha.{i}.weight", layout: heads, for: {i: [query, key, value]}}
  - {tf: "mha/{i}/bias", torch: "mha.{i}.bias", layout: heads_bias, for: {i: [query, key, value]}}
  - {tf: mha/attention_output/kernel, torch: mha.give.weight, layout: heads_out}
  - {tf: mha/attention_output/bias, torch: mha.give.bias}
"""
TABLES = {
    "joined": JOINED,
    "apart": APART,
    "lstm": LSTM.format(tf="", to="rnn.", l="_l0"),
    "cell": LSTM.format(tf="", to="rnn.", l=""),
    "two": LSTM.format(tf="forward_l/", to="rnn.", l="_l0") + LSTM.format(tf="backward_l/", to="rnn.", l="_l0_reverse"),
    "own": OWN.replace("CELL", "lstm_cell"),
    "gru": OWN.replace("CELL", "gru_cell"),
    "basic": BASIC,
}
RECORDINGS = {
    ("last", "lstm"),
    ("last", "own"),
    ("last", "cell"),
    ("sequence", "lstm"),
    ("sequence", "cell"),
    ("unrolled", "own"),
    ("two", "two"),
    ("gru", "gru"),
    ("tf1", "basic"),
    ("attention", "joined"),
    ("attention", "apart"),
}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A recording of a model by a table, made once."""
    import keras
    import tensorflow as tf

    from stylexport.reference_tf.record import record

    folder, rng = tmp_path_factory.mktemp("sequences"), np.random.default_rng(3)
    layers = {
        "last": lambda k: k.LSTM(H, name="lstm"),
        "sequence": lambda k: k.LSTM(H, name="lstm", return_sequences=True),
        "unrolled": lambda k: k.LSTM(H, name="lstm", unroll=True),
        "two": lambda k: k.Bidirectional(k.LSTM(H, name="l", return_sequences=True), name="bi"),
        "gru": lambda k: k.GRU(H, name="gru"),
    }

    def random(variable: Any) -> Any:
        return rng.normal(0, 0.5, tuple(variable.shape)).astype(np.float32)

    given = keras.Input((T, WIDTH))
    attended = keras.layers.MultiHeadAttention(2, WIDTH // 2, name="mha")(given, given)
    models = {"attention": keras.Model(given, keras.layers.Dense(2, name="out")(attended))}
    for name, layer in layers.items():
        models[name] = keras.Sequential([keras.Input((T, IN)), layer(keras.layers), keras.layers.Dense(2, name="out")])
    for name, model in models.items():
        for variable in model.weights:
            variable.assign(random(variable))
        tf.saved_model.save(model, folder / name)
    _save_tensorflow_1(folder / "tf1", random)
    for saved, table in sorted(RECORDINGS):
        (folder / "table.yaml").write_text(f"network: {saved}\ntensors:\n{TABLES[table]}{OUT}")
        record(folder / saved, folder / f"{saved}.{table}", samples=N, mapping=folder / "table.yaml")
    return lambda model, table: folder / f"{model}.{table}"


def _save_tensorflow_1(path: Path, random: Callable[[Any], Any]) -> None:
    """BasicLSTMCell in a loop of TensorFlow 1 (tensorflow/python/keras/layers/legacy_rnn/rnn_cell_impl.py)."""
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, T, IN], name="x")
        with v1.variable_scope("rnn/basic_lstm_cell"):
            kernel, bias = (v1.get_variable(n, shape, use_resource=False) for n, shape in (("kernel", [IN + H, 4 * H]), ("bias", [4 * H])))
        with v1.variable_scope("out"):
            weight, offset = (v1.get_variable(n, shape, use_resource=False) for n, shape in (("kernel", [H, 2]), ("bias", [2])))
        steps = tf.TensorArray(tf.float32, size=T).unstack(tf.transpose(x, [1, 0, 2]))
        outputs, zero = tf.TensorArray(tf.float32, size=T), tf.zeros([tf.shape(x)[0], H])

        def body(t: Any, h: Any, c: Any, found: Any) -> Any:
            i, j, f, o = tf.split(tf.nn.bias_add(tf.concat([steps.read(t), h], 1) @ kernel, bias), 4, 1)
            c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
            h = tf.tanh(c) * tf.sigmoid(o)
            return t + 1, h, c, found.write(t, h)

        *_, found = v1.while_loop(lambda t, *_: t < T, body, (0, zero, zero, outputs))
        y = tf.nn.bias_add(tf.transpose(found.stack(), [1, 0, 2])[:, -1] @ weight, offset, name="y")
        session.run(v1.global_variables_initializer())
        for variable in v1.global_variables():
            variable.load(random(variable), session)
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": y})
    v1.enable_control_flow_v2()


class Port(nn.Module):
    """A recurrent layer `rnn`, what `take` takes of its results, and a linear layer."""

    def __init__(
        self, rnn: nn.Module, take: Callable[[Any], Tensor], width: int = H, before: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.rnn, self.out, self.take, self.before = rnn, nn.Linear(width, 2), take, before

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.take(self.rnn(self.before(x))))
        return y


class Stepwise(nn.Module):
    """A cell that is called for each step; all of its outputs, or the last."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.rnn, self.out, self.last = nn.LSTMCell(IN, H), nn.Linear(H, 2), last

    def forward(self, x: Tensor) -> Tensor:
        state, found = None, []
        for step in x.unbind(1):
            state = self.rnn(step, state)
            found.append(state[0])
        y: Tensor = self.out(found[-1] if self.last else torch.stack(found, 1))
        return y


class Own(nn.Module):
    """An LSTM or a GRU by a loop of a user's own, its gates in the order `gates`."""

    def __init__(self, gates: str = "ifgo", forget: float = 0.0, reset_after: bool = True) -> None:
        super().__init__()
        wide, self.gates, self.forget, self.reset_after = len(gates) * H, gates, forget, reset_after
        self.kernel, self.recurrent = nn.Parameter(torch.zeros(IN, wide)), nn.Parameter(torch.zeros(H, wide))
        self.bias = nn.Parameter(torch.zeros(wide) if len(gates) == 4 else torch.zeros(2, wide))

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(len(x), H)
        for step in x.unbind(1):
            h, c = self._lstm(step, h, c) if len(self.gates) == 4 else (self._gru(step, h), c)
        return h

    def _cut(self, value: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.gates, value.chunk(len(self.gates), -1), strict=True))

    def _lstm(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        g = self._cut(x @ self.kernel + h @ self.recurrent + self.bias)
        c = (g["f"] + self.forget).sigmoid() * c + g["i"].sigmoid() * g["g"].tanh()
        return g["o"].sigmoid() * c.tanh(), c

    def _gru(self, x: Tensor, h: Tensor) -> Tensor:
        given, back = self._cut(x @ self.kernel + self.bias[0]), self._cut(h @ self.recurrent + self.bias[1])
        z, r = (given["z"] + back["z"]).sigmoid(), (given["r"] + back["r"]).sigmoid()
        inside = r * back["n"] if self.reset_after else (r * h) @ self._cut(self.recurrent)["n"] + self._cut(self.bias[1])["n"]
        return z * h + (1 - z) * (given["n"] + inside).tanh()


def lstm(take: Callable[[Any], Tensor], **settings: Any) -> Port:
    two = bool(settings.get("bidirectional"))
    return Port(nn.LSTM(IN, H, batch_first=True, **settings), take, 2 * H if two else H)


def verified(recorded: Callable[[str, str], Path], model: str, table: str, port: nn.Module) -> Report:
    return verify_module(port, recorded(model, table))


RIGHT: dict[str, tuple[str, str, Callable[[], nn.Module]]] = {
    "the last of a sequence": ("last", "lstm", lambda: lstm(lambda found: found[0][:, -1])),
    "the last state": ("last", "lstm", lambda: lstm(lambda found: found[1][0][-1])),
    "steps first": ("last", "lstm", lambda: Port(nn.LSTM(IN, H), lambda found: found[0][-1], before=lambda x: x.transpose(0, 1))),
    "the sequence": ("sequence", "lstm", lambda: lstm(lambda found: found[0])),
    "a cell's last step": ("last", "cell", lambda: Stepwise(last=True)),
    "a cell's steps": ("sequence", "cell", lambda: Stepwise(last=False)),
    "an own loop": ("last", "own", lambda: Port(Own(), lambda found: found)),
    "an own loop of an unrolled layer": ("unrolled", "own", lambda: Port(Own(), lambda found: found)),
    "two directions": ("two", "two", lambda: lstm(lambda found: found[0], bidirectional=True)),
    "an own GRU": ("gru", "gru", lambda: Port(Own("zrn"), lambda found: found)),
    "a loop of TensorFlow 1": ("tf1", "basic", lambda: lstm(lambda found: found[0][:, -1])),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_port_passes(case: str, recorded: Callable[[str, str], Path]) -> None:
    model, table, build = RIGHT[case]
    report = verified(recorded, model, table, build())
    assert report.verdict == "pass", [(layer.name, layer.verdict) for layer in report.layers]
    assert {layer.name.partition(",")[0] for layer in report.layers} == {"rnn", "out", "output"}


def swapped(found: Any) -> Tensor:
    return torch.cat([found[0][..., H:], found[0][..., :H]], -1)


WRONG: dict[str, tuple[str, str, Callable[[], nn.Module], str, str, str]] = {
    "gates": (
        "last",
        "own",
        lambda: Port(Own("ifog"), lambda y: y),
        "rnn",
        "gate_order",
        "gates in the order i, f, o, g instead of i, f, c, o",
    ),
    "gates of an unrolled layer": (
        "unrolled",
        "own",
        lambda: Port(Own("figo"), lambda y: y),
        "rnn",
        "gate_order",
        "gates in the order f, i, g, o instead of i, f, c, o",
    ),
    "gates of a GRU": (
        "gru",
        "gru",
        lambda: Port(Own("rzn"), lambda y: y),
        "rnn",
        "gate_order",
        "gates in the order r, z, n instead of z, r, h",
    ),
    "forget bias": (
        "last",
        "own",
        lambda: Port(Own(forget=1.0), lambda y: y),
        "rnn",
        "forget_bias",
        "1 is added to the forget gate instead of 0",
    ),
    "reset gate": (
        "gru",
        "gru",
        lambda: Port(Own("zrn", reset_after=False), lambda y: y),
        "rnn",
        "reset_gate",
        "the reset gate is applied before the recurrent product instead of after it",
    ),
    "direction": (
        "last",
        "lstm",
        lambda: Port(nn.LSTM(IN, H, batch_first=True), lambda found: found[0][:, -1], before=lambda x: x.flip(1)),
        "rnn",
        "direction",
        "the steps run in the other direction",
    ),
    "directions joined": (
        "two",
        "two",
        lambda: lstm(swapped, bidirectional=True),
        "out",
        "direction",
        "the two halves of its input are swapped",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_port_is_a_fault_of_that_layer_and_named(case: str, recorded: Callable[[str, str], Path]) -> None:
    model, table, build, layer, cause, detail = WRONG[case]
    report = verified(recorded, model, table, build())
    assert (report.verdict, report.exit_code) == ("fault", 1)
    assert report.first_fault is not None
    assert (report.first_fault.layer, report.first_fault.cause) == (layer, cause)
    assert report.first_fault.detail.startswith(detail)


def test_every_wrong_order_of_an_lstms_gates_is_named(recorded: Callable[[str, str], Path]) -> None:
    for order in itertools.islice(itertools.permutations("ifgo"), 1, None, 4):
        fault = verified(recorded, "last", "own", Port(Own("".join(order)), lambda y: y)).first_fault
        assert fault is not None
        assert fault.detail == f"gates in the order {', '.join(order)} instead of i, f, c, o"


class Attention(nn.Module):
    """An attention of a user's own; `scale` of its scores, heads, and the axis of its softmax."""

    def __init__(self, scale: float = (WIDTH // 2) ** -0.5, heads: int = 2, over: int = -1) -> None:
        super().__init__()
        self.query, self.key, self.value, self.give = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.scale, self.heads, self.over = scale, heads, over

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        y: Tensor = self.give(((q @ k.transpose(-1, -2) * self.scale).softmax(self.over) @ v).transpose(1, 2).flatten(2))
        return y


class Attended(nn.Module):
    """An attention and a linear layer."""

    def __init__(self, mha: nn.Module) -> None:
        super().__init__()
        self.mha, self.out = mha, nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.out(self.mha(x, x, x)[0] if isinstance(self.mha, nn.MultiheadAttention) else self.mha(x))
        return y


@pytest.mark.parametrize(("table", "mha"), [("apart", Attention()), ("joined", nn.MultiheadAttention(WIDTH, 2, batch_first=True))])
def test_a_right_attention_passes(table: str, mha: nn.Module, recorded: Callable[[str, str], Path]) -> None:
    report = verified(recorded, "attention", table, Attended(mha))
    assert report.verdict == "pass", [(layer.name, layer.verdict) for layer in report.layers]


@pytest.mark.parametrize(
    ("table", "mha", "layer", "detail"),
    [
        ("apart", Attention(scale=1.0), "mha.give", "its scores are multiplied by 1 instead of 0.57735"),
        ("apart", Attention(over=-2), "mha.give", "the softmax runs over the queries instead of the keys"),
        ("joined", nn.MultiheadAttention(WIDTH, 3, batch_first=True), "mha", "it has 3 heads instead of 2, and its scores are"),
    ],
)
def test_a_wrong_attention_is_named(table: str, mha: nn.Module, layer: str, detail: str, recorded: Callable[[str, str], Path]) -> None:
    fault = verified(recorded, "attention", table, Attended(mha)).first_fault
    assert fault is not None
    assert (fault.layer, fault.cause) == (layer, "attention")
    assert fault.detail.startswith(detail)
