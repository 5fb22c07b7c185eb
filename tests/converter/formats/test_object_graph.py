"""In a checkpoint of TensorFlow 2 weights are weights and slots are slots, whatever the program calls its model and its optimiser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.common.types import Array
from stylexport.converter.formats.registry import open_artefact
from tests.conftest import run

pytestmark = pytest.mark.tensorflow
TABLE = """
network: tiny
tensors:
  - {tf: c1/kernel, torch: c.weight, layout: conv}
  - {tf: c1/bias, torch: c.bias}
  - {tf: bn/gamma, torch: n.weight}
  - {tf: bn/beta, torch: n.bias}
  - {tf: bn/moving_mean, torch: n.running_mean}
  - {tf: bn/moving_variance, torch: n.running_var}
  - {tf: head/kernel, torch: h.weight, layout: dense}
  - {tf: head/bias, torch: h.bias}
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Array], dict[str, Array]]:
    """A compiled Keras 3 model, trained with averages and saved in every way: the folder, its weights, and its averages, by name."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Conv2D(4, 3, name="c1"), keras.layers.BatchNormalization(name="bn"), keras.layers.GlobalAveragePooling2D()]
    net = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Dense(2, name="head")], name="net")
    net.compile(keras.optimizers.Nadam(0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=100), "mse", metrics=["mae"])
    rng = np.random.default_rng(0)
    net.fit(rng.normal(size=(8, 8, 8, 3)), rng.normal(size=(8, 2)), epochs=2, batch_size=4, verbose=0)
    for weight in net.trainable_weights:  # Keras has written the averages over them
        weight.assign(weight + 0.25)
    folder = tmp_path_factory.mktemp("keras3")
    solver = net.optimizer
    tf.train.Checkpoint(model=net, optimizer=solver).save(str(folder / "model" / "ckpt"))
    tf.train.Checkpoint(zoo=net, a_solver=solver, epoch=tf.Variable(3.0)).write(str(folder / "solver" / "ckpt"))
    tf.train.Checkpoint(optimizer=net, model=solver).write(str(folder / "swapped" / "ckpt"))
    tf.train.Checkpoint(net).write(str(folder / "root" / "ckpt"))
    tf.saved_model.save(net, str(folder / "saved"))
    net.export(str(folder / "exported"), verbose=False)
    net.save(folder / "whole.keras")
    net.save(folder / "whole.h5")
    weights = {w.path.removeprefix("net/"): np.array(w) for w in net.weights}
    averages = {
        w.path.removeprefix("net/"): np.array(a)
        for w, a in zip(solver._trainable_variables, solver._model_variables_moving_average, strict=True)
    }
    return folder, weights, averages


Saved = tuple[Path, dict[str, Array], dict[str, Array]]


@pytest.mark.parametrize("place", ["model", "solver", "swapped", "root", "saved"])
def test_weights_are_no_slots_and_slots_no_weights(saved: Saved, place: str) -> None:
    folder, weights, averages = saved
    artefact = open_artefact(folder / place)
    own = {v.name.removeprefix("net/"): v for v in artefact.variables if v.slot is None}
    assert own.keys() == weights.keys()
    for name, variable in own.items():
        np.testing.assert_array_equal(artefact.read(variable), weights[name])
    names = {v.key: v.name.removeprefix("net/") for v in own.values()}
    found = {names[v.average_of]: artefact.read(v) for v in artefact.variables if v.average_of}
    assert found.keys() == averages.keys()
    assert all((found[name] == averages[name]).all() and (found[name] != weights[name]).any() for name in averages)


@pytest.mark.parametrize("place", ["model", "solver", "root", "saved", "exported", "whole.keras", "whole.h5"])
def test_one_table_reads_all_of_them(saved: Saved, place: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    (tmp_path / "t.yaml").write_text(TABLE)
    ran = run("convert", saved[0] / place, "-o", tmp_path / "out", "--mapping", tmp_path / "t.yaml")
    assert ran.code == 0, ran.err
    found = load_file(tmp_path / "out/tiny/model.safetensors")
    np.testing.assert_array_equal(found["n.running_var"], saved[1]["bn/moving_variance"])
    np.testing.assert_array_equal(found["h.weight"], saved[1]["head/kernel"].T)


def test_the_averages_of_an_optimiser_are_taken_by_one_option(saved: Saved, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    (tmp_path / "t.yaml").write_text(TABLE)
    for place in ("model", "saved", "whole.h5"):
        ran = run("convert", saved[0] / place, "-o", tmp_path / "out", "--mapping", tmp_path / "t.yaml", "--averages")
        assert ran.code == 0, ran.err
        found = load_file(tmp_path / "out/tiny/model.safetensors")
        np.testing.assert_array_equal(found["c.bias"], saved[2]["c1/bias"])
        np.testing.assert_array_equal(found["n.running_mean"], saved[1]["bn/moving_mean"])  # has none
    ran = run("convert", saved[0] / "exported", "-o", tmp_path / "out", "--mapping", tmp_path / "t.yaml", "--averages")
    assert (ran.code, "holds no moving averages" in ran.one_line_error()) == (2, True)


def test_layers_of_one_name_are_told_by_their_paths(tmp_path: Path) -> None:
    """Keras 3 calls every kernel of a subclassed model `model/kernel`."""
    import keras
    import tensorflow as tf

    class Two(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="two")
            self.first, self.second = keras.layers.Dense(3), keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    net = Two()
    net(np.zeros((1, 3), np.float32))
    tf.train.Checkpoint(net=net).write(str(tmp_path / "ckpt"))
    artefact = open_artefact(tmp_path / "ckpt")
    by_path = {v.path.removeprefix("net/"): artefact.read(v) for v in artefact.variables if v.slot is None}
    np.testing.assert_array_equal(by_path["first/kernel"], net.first.kernel)
    np.testing.assert_array_equal(by_path["second/kernel"], net.second.kernel)
    (tmp_path / "t.yaml").write_text("{network: two, tensors: [" + ", ".join(f"{{tf: {path}, torch: {path}}}" for path in by_path) + "]}")
    assert run("convert", tmp_path / "ckpt", "-o", tmp_path / "out", "--mapping", tmp_path / "t.yaml").code == 0


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_what_lies_inside_a_layer_is_named_alike_in_both_formats(tmp_path: Path, package: str) -> None:
    import importlib

    import tensorflow as tf

    keras = importlib.import_module(package)
    keras.utils.set_random_seed(0)
    x = y = keras.Input((5, 4))
    y = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True, name="memory"), name="both")(y)
    y = keras.layers.MultiHeadAttention(2, 3, name="attention")(y, y)
    net = keras.Model(x, keras.layers.GRU(2, name="last")(y))
    net.save(tmp_path / "m.keras")
    tf.saved_model.save(net, str(tmp_path / "m"))
    named = []
    for file in ("m.keras", "m"):
        artefact = open_artefact(tmp_path / file)
        named.append({v.name: artefact.read(v).tobytes() for v in artefact.variables if v.slot is None})
    # Keras 2 numbers the cells of a process, which the archive does not hold.
    cells = [{re.sub(r"_cell_\d+", "_cell", name): value for name, value in names.items()} for names in named]
    assert cells[0] == cells[1]
