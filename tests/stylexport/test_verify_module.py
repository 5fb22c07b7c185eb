"""A network of a user's own, proved by module, mapping and SavedModel."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Ran, run

pytestmark = pytest.mark.tensorflow

MODULE = """
    import torch.nn.functional as F
    from torch import nn


    class Net(nn.Module):
        def __init__(self, epsilon=2e-3, slope=0.3, padding=0):
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 6, 3, 2, padding, bias=False), nn.BatchNorm2d(6, epsilon)
            self.left, self.act = nn.Conv2d(6, 6, 3, padding=1), nn.LeakyReLU(slope, inplace=True)
            self.right, self.code, self.out = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(210, 7), nn.Linear(7, 4)

        def forward(self, x):
            x = x if self.stem.padding != (0, 0) else F.pad(x, (0, 1, 0, 1))
            x = F.relu(self.norm(self.stem(x)))
            x = F.max_pool2d(F.relu(x + self.right(self.act(self.left(x)))), 2)
            return self.head(self.out(self.code(x.flatten(1)).tanh()))

        def head(self, x):
            return x.softmax(1)


    class Logits(Net):
        def head(self, x):
            return x


    def right(): return Net()
    def epsilon(): return Net(epsilon=1e-5)
    def slope(): return Net(slope=0.01)
    def symmetric(): return Net(padding=1)
    def logits(): return Logits()
    def other(): return nn.Linear(3, 4)
    def number(): return 3
"""
TABLE = """
    network: mine
    tensors:
      - {tf: stem/kernel, torch: stem.weight, layout: conv}
      - {tf: stem_norm/gamma, torch: norm.weight}
      - {tf: stem_norm/beta, torch: norm.bias}
      - {tf: stem_norm/moving_mean, torch: norm.running_mean}
      - {tf: stem_norm/moving_variance, torch: norm.running_var}
      - {tf: "{n}/kernel", torch: "{n}.weight", layout: conv, for: {n: [left, right]}}
      - {tf: "{n}/bias", torch: "{n}.bias", for: {n: [left, right, code, out]}}
      - {tf: code/kernel, torch: code.weight, layout: {dense_after_hwc: [5, 7]}}
      - {tf: out/kernel, torch: out.weight, layout: dense}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with a residual block, its recording, table and module."""
    import tf_keras

    folder = tmp_path_factory.mktemp("mine")
    layers = tf_keras.layers
    inputs = layers.Input((20, 28, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(epsilon=2e-3, name="stem_norm")(x))
    y = layers.LeakyReLU(0.3)(layers.Conv2D(6, 3, padding="same", name="left")(x))
    x = layers.ReLU()(layers.Add()([x, layers.Conv2D(6, 3, padding="same", name="right")(y)]))
    x = layers.Dense(7, activation="tanh", name="code")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    model = tf_keras.Model(inputs, layers.Dense(4, activation="softmax", name="out")(x))
    draw = np.random.default_rng(4)
    for variable in model.weights:
        drawn = draw.uniform(0.3, 1.2, variable.shape) if "variance" in variable.name else 0.4 * draw.standard_normal(variable.shape)
        variable.assign(drawn)
    model.save(folder / "saved", save_format="tf", include_optimizer=False)
    (folder / "table.yaml").write_text(textwrap.dedent(TABLE))
    (folder / "net_of_a_user.py").write_text(textwrap.dedent(MODULE))
    assert run("record", folder / "saved", "-o", folder / "recording", "--mapping", folder / "table.yaml").code == 0
    return folder


@pytest.fixture
def verified(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Ran, Any]]:
    """Runs verify for one of the module's functions in the folder of its file."""
    monkeypatch.chdir(place)

    def verify(function: str, *arguments: str | Path) -> tuple[Ran, Any]:
        ran = run("verify", "--module", f"net_of_a_user:{function}", *(arguments or ("--against", "recording")), "--json")
        return ran, json.loads(ran.out) if ran.out else None

    return verify


def test_a_right_module_passes_from_its_saved_model(verified: Callable[..., tuple[Ran, Any]]) -> None:
    ran, report = verified("right", "--release", "saved", "--mapping", "table.yaml")
    assert (ran.code, report["verdict"]) == (0, "pass")
    assert report["coverage"]["taps"] == report["coverage"]["matched"] == 7
    assert max(layer["alone"] for layer in report["layers"]) < 1e-7


@pytest.mark.parametrize(
    ("function", "layer", "cause"),
    [
        ("epsilon", "norm", "bn_epsilon"),
        ("slope", "act", "leaky_slope"),
        ("symmetric", "stem", "padding"),
        ("logits", "output", "logits_for_probabilities"),
    ],
)
def test_a_fault_in_a_users_module_is_placed_and_named(
    verified: Callable[..., tuple[Ran, Any]], function: str, layer: str, cause: str
) -> None:
    ran, report = verified(function)
    assert ran.code == 1
    assert (report["first_fault"]["layer"], report["first_fault"]["cause"]) == (layer, cause)
    assert [fault["layer"] for fault in report["faults"]] == [layer]


@pytest.mark.parametrize(
    ("function", "said"), [("absent", "no attribute"), ("number", "returned a int"), ("other", "put the mapping's rows right")]
)
def test_what_is_no_such_module_is_one_clear_error(verified: Callable[..., tuple[Ran, Any]], function: str, said: str) -> None:
    ran, _ = verified(function)
    assert ran.code == 2
    assert said in ran.one_line_error()


POOLED = """
    from torch import nn


    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.act, self.pool, self.out = nn.Linear(2, 3), nn.Tanh(), nn.MaxPool3d(1, (1, 1, 3)), nn.Linear(36, 4)

        def forward(self, x):
            return self.out(self.pool(self.act(self.before(x)).movedim(-1, 1)).movedim(1, -1).flatten(1))
"""
POOLED_TABLE = """
    network: pooled
    tensors:
      - {tf: before/kernel, torch: before.weight, layout: dense}
      - {tf: before/bias, torch: before.bias}
      - {tf: out/kernel, torch: out.weight, layout: dense}
      - {tf: out/bias, torch: out.bias}
"""


def off_by_one(name: str, results: list[Any]) -> list[Any]:
    """TensorFlow's float32 max_pool3d on some processors, where a stride is larger than its window: the neighbours' values."""
    import tensorflow as tf

    wrong = name == "MaxPool3D" and results[0].dtype == tf.float32
    return [tf.roll(results[0], 1, -2)] if wrong else results


def test_a_wrong_kernel_of_the_original_is_named_and_float64_judges_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tf_keras

    from stylexport.reference_tf.replay import kernels

    layers = tf_keras.layers
    inputs = layers.Input((2, 3, 6, 2))
    x = layers.Dense(3, activation="tanh", name="before")(inputs)
    x = layers.MaxPooling3D(1, (1, 1, 3), name="pool")(x)
    model = tf_keras.Model(inputs, layers.Dense(4, name="out")(layers.Flatten()(x)))
    draw = np.random.default_rng(6)
    for variable in model.weights:
        variable.assign(0.5 * draw.standard_normal(variable.shape))
    monkeypatch.chdir(tmp_path)
    model.save("saved", save_format="tf", include_optimizer=False)
    Path("table.yaml").write_text(textwrap.dedent(POOLED_TABLE))
    Path("pooled_net.py").write_text(textwrap.dedent(POOLED))
    right = kernels.execute
    monkeypatch.setattr(kernels, "execute", lambda name, inputs, attrs: off_by_one(name, right(name, inputs, attrs)))
    assert run("record", "saved", "-o", "recording", "--mapping", "table.yaml").code == 0
    ran = run("verify", "--module", "pooled_net:Pooled", "--against", "recording", "--json")
    report = json.loads(ran.out)
    assert (ran.code, report["verdict"]) == (0, "pass")
    (named,) = report["kernel_faults"]
    assert named["detail"].startswith("MaxPool3D at ")
    assert "TensorFlow's float32 kernel is off by" in named["detail"]
    assert named["layer"] == "out"
    rows = {layer["name"]: layer for layer in report["layers"]}
    assert rows["out"]["floor"] > 0.1 > rows["before"]["floor"] * 1e5
    assert (rows["out"]["ratio"], rows["before"]["ratio"] is None) == (None, False)
