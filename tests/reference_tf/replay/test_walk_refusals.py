"""What cannot be replayed is refused in one sentence that names the node, its operation and what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.savedmodel.functions import Function, Input, functions
from stylexport.converter.graph.graph import Graph, Node
from stylexport.reference_tf.replay.walk import walk
from tests.reference_tf.replay.saving import Method, callable_at, saved, values

pytestmark = pytest.mark.tensorflow

X = np.random.default_rng(9).standard_normal((5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """A product with a variable [3, 4]."""
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4)
    return saved(Method(lambda x, w: x @ w, [[None, 3]], numbers), tmp_path_factory.mktemp("layer"))


def test_a_value_that_is_not_finite_is_traced_to_where_it_began(tmp_path: Path) -> None:
    artefact = saved(Method(lambda x: tf.nn.relu(tf.math.log(x, name="depth") * 0.5 + 1.0), [[None, 3]]), tmp_path)
    with pytest.raises(BadInput, match=r"^Identity \(Identity\) is not finite; the first such values come from depth \(Log\): give other"):
        values(artefact, "run", -np.abs(X))


def test_a_value_that_is_not_finite_and_does_not_reach_what_is_wanted_is_none_of_our_business(tmp_path: Path) -> None:
    artefact = saved(Method(lambda x: tf.where(x > 0, tf.math.log(x), x), [[None, 3]]), tmp_path)
    ((_, exact),) = values(artefact, "run", X)
    assert np.isfinite(exact).all()


def test_values_beyond_float32_are_said_so(tmp_path: Path) -> None:
    artefact = saved(Method(lambda x: tf.exp(x * 100.0, name="grow"), [[None, 3]]), tmp_path)
    with pytest.raises(BadInput, match=r"is not finite; the first such values come from grow \(Exp\)"):
        values(artefact, "run", np.abs(X) + 1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x + tf.random.normal(tf.shape(x)), r"RandomStandardNormal\) cannot be replayed: it draws random numbers"),
        (lambda x: x + tf.random.stateless_normal([3], (1, 2)), r"StatelessRandom\w+\) cannot be replayed: it draws random"),
        (lambda x: tf.quantization.fake_quant_with_min_max_args(x), r"FakeQuantWithMinMaxArgs\) cannot be replayed in float64: .*no form"),
        (lambda x: x + tf.cast(tf.timestamp(), tf.float32), r"Timestamp\) cannot be replayed: it keeps state"),
    ],
)
def test_an_operation_that_cannot_be_replayed_is_refused_by_name(function: Any, said: str, tmp_path: Path) -> None:
    artefact = saved(Method(function, [[None, 3]]), tmp_path)
    (target,) = (function for function in functions(artefact) if function.path == "run")
    with pytest.raises(BadInput, match=said):
        walk(target, [(X, X)], lambda key: X)


def test_an_operation_that_tensorflow_does_not_have_is_refused_by_name() -> None:
    nodes = {"x": Node("x", "Placeholder", (), {}), "y": Node("y", "VendorNorm", ("x",), {})}
    function = Function("", Graph(nodes, {}, ("y",)), (Input("x", (5, 3), "float32"),), ("y",), None)
    with pytest.raises(BadInput, match=r"^y \(VendorNorm\) cannot be replayed: TensorFlow \S+ has no operation VendorNorm; install"):
        walk(function, [(X, X)], lambda key: X)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], r"0 inputs are given, but the function takes 1 \(x0\); give one for each"),
        ([(X[:, :2], X[:, :2])], r"the input x0 is of shape \[5, 2\], the graph takes \[any, 3\]; give it in that shape"),
        ([(X[0], X[0])], r"the input x0 is of shape \[3\], the graph takes \[any, 3\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(given: Any, said: str, layer: Artefact) -> None:
    with pytest.raises(BadInput, match=said):
        walk(callable_at(layer, "run"), given, lambda key: X)


def test_a_reference_that_the_graph_lacks_is_refused(layer: Artefact) -> None:
    with pytest.raises(BadInput, match="the graph holds no node 'b8/conv0'; name one that it has"):
        values(layer, "run", X, wanted=["b8/conv0"])


def test_a_variable_without_a_value_is_refused(layer: Artefact) -> None:
    function = callable_at(layer, "run")
    function = replace(function, graph=Graph(function.graph.nodes, {}, function.outputs))
    with pytest.raises(BadInput, match=r"\(VarHandleOp\) cannot be replayed: the file does not hold this variable's value"):
        walk(function, [(X, X)], lambda key: X)
