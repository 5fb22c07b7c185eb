"""What a walk shows on its way: every wanted tensor in both precisions, and no more memory than is needed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.savedmodel.functions import Function, Input
from stylexport.converter.graph.graph import Graph, Node
from stylexport.converter.graph.schedule import schedule
from stylexport.reference_tf.replay.control_flow import evaluate
from stylexport.reference_tf.replay.evaluator import Evaluator
from stylexport.reference_tf.replay.execute_op import GRAPH
from stylexport.reference_tf.replay.walk import walk
from tests.reference_tf.replay.saving import Method, callable_at, distance, saved, values

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(8)
X = RNG.standard_normal((5, 3)).astype(np.float32)
W = RNG.standard_normal((3, 4)).astype(np.float32)
V = RNG.standard_normal((4, 2)).astype(np.float32)


def two_layers(x: Any, w: Any, v: Any) -> Any:
    """Relu(x w) v."""
    return tf.matmul(tf.nn.relu(x @ w, name="bend"), v, name="second")


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return saved(Method(two_layers, [[None, 3]], W, V), tmp_path_factory.mktemp("layers"))


def test_every_wanted_tensor_is_seen_once_in_both_precisions_in_order_of_execution(layers: Artefact) -> None:
    wanted = ["second", "bend"]
    seen: list[tuple[str, Array, Array]] = []
    values(layers, "run", X, wanted=wanted, seen=lambda *tap: seen.append(tap))
    assert [ref for ref, _, _ in seen] == ["bend", "second"]
    assert [(a.dtype.name, b.dtype.name) for _, a, b in seen] == [("float32", "float64")] * 2
    np.testing.assert_allclose(seen[0][2], np.maximum(X.astype("f8") @ W.astype("f8"), 0), rtol=1e-14, atol=1e-15)


def test_a_variables_node_may_be_wanted(layers: Artefact) -> None:
    graph = callable_at(layers, "run").graph
    nodes = sorted(graph.keys)
    seen: dict[str, Array] = {}
    values(layers, "run", X, wanted=nodes, seen=lambda ref, value, exact: seen.update({ref: exact}))
    assert sorted(value.tobytes() for value in seen.values()) == sorted(value.astype("f8").tobytes() for value in (W, V))


def test_the_first_output_goes_by_either_spelling(layers: Artefact) -> None:
    seen: list[str] = []
    values(layers, "run", X, wanted=["bend:0"], seen=lambda ref, value, exact: seen.append(ref))
    assert seen == ["bend:0"]


def test_progress_counts_to_the_nodes_that_are_needed(layers: Artefact) -> None:
    steps: list[tuple[int, int]] = []
    values(layers, "run", X, progress=lambda done, of: steps.append((done, of)))
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert {of for _, of in steps} == {len(steps)}


def test_a_variable_is_read_once_for_both_precisions(layers: Artefact) -> None:
    by_key = {v.key: v for v in layers.variables}
    read: list[str] = []

    def variable(key: str) -> Array:
        read.append(key)
        return layers.read(by_key[key])

    walk(callable_at(layers, "run"), [(X, X.astype("f8"))], variable)
    assert len(read) == len(set(read)) == 2


def test_the_second_precision_is_fed_by_its_own_values(layers: Artefact) -> None:
    by_key = {v.key: v for v in layers.variables}
    function = callable_at(layers, "run")
    shifted = X.astype("f8") * 3
    ((found, exact),) = walk(function, [(X, shifted)], lambda key: layers.read(by_key[key]))
    assert distance(exact, 3.0 * found) < 1e-6


def test_no_more_is_held_than_what_is_still_to_be_used() -> None:
    names = ["x", *(f"n{i}" for i in range(50))]
    nodes = {"x": Node("x", "Placeholder", (), {})} | {
        name: Node(name, "Neg", (before,), callable_type()) for before, name in pairwise(names)
    }
    graph = Graph(nodes, {}, ("n49",))
    function = Function("", graph, (Input("x", (2,), "float32"),), graph.outputs, None)
    needed = schedule(graph, graph.outputs)
    evaluator = Evaluator(function, needed, [tf.constant([1.0, -2.0])], lambda key: X, GRAPH)
    held = []
    for node in needed.nodes:
        evaluate(evaluator, node)
        held.append(evaluator.held)
        evaluator.release(node)
    assert max(held) == 2
    np.testing.assert_array_equal(evaluator.array("n49"), [1.0, -2.0])


def callable_type() -> dict[str, Any]:
    """The attributes of an operation on float32."""
    node = tf.compat.v1.NodeDef()
    node.attr["T"].type = tf.float32.as_datatype_enum
    return dict(node.attr)
