"""Checkpoints of TensorFlow 1 as its Saver writes them: both versions, shards, slices, an empty prefix, the graph in the `.meta`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array
from stylexport.converter.calls.calls import callables, used
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.registry import open_all, open_artefact
from tests.conftest import run
from tests.converter.formats.damage import read_all, refusals

pytestmark = pytest.mark.tensorflow
SHAPES = {"net/conv/weights": (3, 3, 3, 4), "net/conv/biases": (4,), "net/fc/weights": (4, 2), "net/fc/biases": (2,)}
TABLE = """
network: tiny
tensors:
  - {tf: net/conv/weights, torch: c.weight, layout: conv}
  - {tf: net/conv/biases, torch: c.bias}
  - {tf: net/fc/weights, torch: f.weight, layout: dense}
  - {tf: net/fc/biases, torch: f.bias}
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Array]]:
    """A training program's folder `v1`, `v1_shards`, `v2`, `empty` (no prefix), `v1_slices`, `v2_slices`, and its variables' values."""
    import tensorflow as tf

    v1, folder = tf.compat.v1, tmp_path_factory.mktemp("tf1")
    versions = {"v1": v1.train.SaverDef.V1, "v2": v1.train.SaverDef.V2}
    with tf.Graph().as_default(), v1.Session() as session:
        x, labels = v1.placeholder(tf.float32, [None, 8, 8, 3], "image"), v1.placeholder(tf.float32, [None, 2], "labels")
        training = v1.placeholder(tf.bool, name="training")
        made = {name: v1.get_variable(name, shape, use_resource="fc" in name) for name, shape in SHAPES.items()}
        map_ = tf.nn.relu(tf.nn.conv2d(x, made["net/conv/weights"], 2, "SAME") + made["net/conv/biases"])
        map_ = v1.cond(training, lambda: v1.nn.dropout(map_, rate=0.5), lambda: map_)
        logits = tf.identity(v1.nn.xw_plus_b(tf.reduce_mean(map_, [1, 2]), made["net/fc/weights"], made["net/fc/biases"]), "logits")
        loss = tf.reduce_mean(v1.losses.softmax_cross_entropy(labels, logits)) + 1e-3 * tf.nn.l2_loss(made["net/fc/weights"])
        step = v1.train.get_or_create_global_step()
        train = v1.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
        with v1.control_dependencies([train]):
            train = tf.train.ExponentialMovingAverage(0.5).apply(list(made.values()))
        part = v1.get_variable("part/w", [7, 3], partitioner=v1.fixed_size_partitioner(3))
        session.run(v1.variables_initializer(list(made.values())))  # an average begins with its variable's value
        session.run(v1.global_variables_initializer())
        rng = np.random.default_rng(2)
        fed = {x: rng.normal(size=(4, 8, 8, 3)), labels: np.eye(2)[[0, 1, 1, 0]], training: True}
        for _ in range(3):
            session.run(train, fed)
        own = [v for v in v1.global_variables() if not v.op.name.startswith("part/")]
        for name, version in versions.items():
            for kind, options in {name: {}, f"{name}_shards": {"sharded": True}}.items():
                (folder / kind).mkdir()
                v1.train.Saver(own, write_version=version, **options).save(session, str(folder / kind / "model.ckpt"), global_step=3)
            (folder / f"{name}_slices").mkdir()
            v1.train.Saver({"part/w": part}, write_version=version).save(session, str(folder / f"{name}_slices" / "m"))
        values = {v.op.name: session.run(v) for v in own} | {"part/w": session.run(tf.convert_to_tensor(part))}
    (folder / "empty").mkdir()
    for file in (folder / "v2").glob("model.ckpt-3.*"):
        shutil.copy(file, folder / "empty" / file.name.removeprefix("model.ckpt-3"))
    (folder / "empty" / "checkpoint").write_text('model_checkpoint_path: "/home/another/machine/run_17/"\n')
    return folder, values


def tensors(artefact: Artefact) -> dict[str, Any]:
    return {variable.name: artefact.read(variable) for variable in artefact.variables}


PLACES = ["v1", "v1/model.ckpt-3", "v1/model.ckpt-3.meta", "v1_shards", "v1_shards/model.ckpt-3", "v1_shards/model.ckpt-3-00000-of-00001"]
PLACES += ["v2", "v2/model.ckpt-3", "v2/model.ckpt-3.meta", "empty", "empty/", "empty/.index", "empty/.meta", "empty/.data-00000-of-00001"]


@pytest.mark.parametrize("place", PLACES)
def test_every_variable_comes_back_wherever_the_checkpoint_is_named(saved: tuple[Path, dict[str, Array]], place: str) -> None:
    folder, values = saved
    (artefact,) = open_all(f"{folder}/{place}")
    found = tensors(artefact)
    artefact.finish()
    assert found.keys() == values.keys() - {"part/w"}
    for name, value in found.items():
        np.testing.assert_array_equal(value, values[name], strict=True)
    assert {v.name for v in artefact.variables if v.slot is None} == SHAPES.keys()
    averages = {v.name: v.average_of for v in artefact.variables if v.average_of}
    assert averages == {f"{name}/ExponentialMovingAverage": name for name in SHAPES}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_partitioned_variable_is_put_together(saved: tuple[Path, dict[str, Array]], version: str) -> None:
    folder, values = saved
    (variable,) = (artefact := open_artefact(folder / f"{version}_slices")).variables
    assert (variable.name, variable.shape) == ("part/w", (7, 3))
    np.testing.assert_array_equal(artefact.read(variable), values["part/w"])


def test_the_network_in_a_training_programs_graph_ends_at_its_logits(saved: tuple[Path, dict[str, Array]]) -> None:
    for place in ("v1", "v2", "empty"):
        (function,) = callables(open_artefact(saved[0] / place))
        assert ([given.name for given in function.inputs], function.outputs) == (["image"], ("logits",))
        assert used(function) == SHAPES.keys()


def test_convert_and_record_take_the_averages_by_one_option(saved: tuple[Path, dict[str, Array]], tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    folder, values = saved
    (tmp_path / "t.yaml").write_text(TABLE)
    for suffix, options in (("", []), ("/ExponentialMovingAverage", ["--averages"])):
        given = [folder / "empty", "--mapping", tmp_path / "t.yaml", *options]
        assert run("convert", *given, "-o", tmp_path / "out").code == 0
        np.testing.assert_array_equal(load_file(tmp_path / "out/tiny/model.safetensors")["c.bias"], values[f"net/conv/biases{suffix}"])
        ran = run("record", *given, "-o", tmp_path / "r", "--json")
        assert ran.code == 0, ran.err
        with_weights = load_file(tmp_path / "r")
        np.testing.assert_array_equal(with_weights["tiny/weights/f.bias"], values[f"net/fc/biases{suffix}"])
    named = tmp_path / "named.yaml"
    named.write_text(TABLE.replace("conv/biases", "conv/biases/ExponentialMovingAverage"))
    assert run("convert", folder / "v1", "-o", tmp_path / "out", "--mapping", named).code == 0
    found = load_file(tmp_path / "out/tiny/model.safetensors")
    np.testing.assert_array_equal(found["c.bias"], values["net/conv/biases/ExponentialMovingAverage"])
    np.testing.assert_array_equal(found["f.bias"], values["net/fc/biases"])


def test_damage_in_version_1_is_answered_with_a_sentence(saved: tuple[Path, dict[str, Array]], tmp_path: Path) -> None:
    shutil.copy(saved[0] / "v1" / "model.ckpt-3", tmp_path / "model.ckpt")
    messages = refusals(tmp_path / "model.ckpt", 150, 3, lambda path: read_all(open_artefact(path)))
    assert len(messages) == 150  # every byte is under a checksum, or the footer, which says where they are
    assert all("damaged.ckpt" in message for message in messages)


def test_damage_in_the_graph_is_a_sentence_or_leaves_the_weights(saved: tuple[Path, dict[str, Array]], tmp_path: Path) -> None:
    for file in (saved[0] / "v2").iterdir():
        shutil.copy(file, tmp_path)
    shutil.move(tmp_path / "model.ckpt-3.meta", tmp_path / "model.ckpt-3.whole")
    shutil.copy(tmp_path / "model.ckpt-3.whole", tmp_path / "damaged.meta")
    for end in (".index", ".data-00000-of-00001"):
        shutil.copy(tmp_path / f"model.ckpt-3{end}", tmp_path / f"damaged{end}")

    def read(path: Path) -> list[object]:
        def graphs() -> Iterator[object]:
            yield from open_artefact(path).graphs()

        return list(graphs())

    messages = refusals(tmp_path / "damaged.meta", 60, 5, read)
    assert messages
    assert all("damaged.meta" in message for message in messages)


def test_a_graph_without_its_checkpoint_says_what_is_missing(saved: tuple[Path, dict[str, Array]], tmp_path: Path) -> None:
    shutil.copy(saved[0] / "v2" / "model.ckpt-3.meta", tmp_path)
    with pytest.raises(BadInput, match="weights do not lie beside it"):
        open_artefact(tmp_path / "model.ckpt-3.meta")


def test_a_missing_slice_is_damage(saved: tuple[Path, dict[str, Array]], tmp_path: Path) -> None:
    (artefact,) = open_all(saved[0] / "v1_slices")
    (variable,) = artefact.variables
    artefact.checkpoint._places[variable.key].pop()  # type: ignore[attr-defined]
    with pytest.raises(DamagedFile, match="of its 21 values are there"):
        artefact.read(variable)
