"""An input is drawn from the numbers that its graph is made for, and from no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from tensorboard.compat.proto import attr_value_pb2

from stylexport.common.types import Array
from stylexport.converter.calls.draws import draw, spread
from stylexport.converter.calls.inputs import Inputs
from stylexport.converter.calls.ranges import Range, input_ranges
from stylexport.converter.calls.user_inputs import UserInputs
from stylexport.converter.formats.savedmodel.functions import Function, Input
from stylexport.converter.graph.graph import Graph, Node
from stylexport.converter.graph.protos import DTYPES

CODES = {name: code for code, name in DTYPES.items()}
IMAGE = (None, 8, 8, 3)
KERNEL = ("kernel", "Const", [], np.ones((3, 3, 3, 4)))
CONV = ("conv", "Conv2D", ["scaled", "kernel"], None)
Row = tuple[str, str, Sequence[str], object]


def attr(value: object) -> Mapping[str, attr_value_pb2.AttrValue]:
    """A constant's value, or the type that a Cast gives."""
    if isinstance(value, str):
        return {"DstT": attr_value_pb2.AttrValue(type=CODES[value])}
    if value is None:
        return {}
    array = np.asarray(value)
    array = array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int32)
    found = attr_value_pb2.AttrValue()
    found.tensor.dtype = CODES[array.dtype.name]
    found.tensor.tensor_content = array.tobytes()
    for size in array.shape:
        found.tensor.tensor_shape.dim.add().size = size
    return {"value": found}


def ranges(
    *rows: Row, shape: tuple[int | None, ...] = IMAGE, dtype: str = "float32", variables: Mapping[str, Array] | None = None
) -> dict[str, Range]:
    """The ranges of a graph of one input x: rows of name, operation, inputs, and constant or type; the last one is its output."""
    variables = variables or {}
    nodes = {"x": Node("x", "Placeholder", (), {}), **{name: Node(name, "VarHandleOp", (), {}) for name in variables}}
    nodes |= {name: Node(name, op, tuple(inputs), attr(value)) for name, op, inputs, value in rows}
    graph = Graph(nodes, {name: name for name in variables}, (rows[-1][0],))
    return input_ranges(Function("", graph, (Input("x", shape, dtype),), graph.outputs, None), variables.__getitem__)


def ends(found: Mapping[str, Range]) -> tuple[float, float, bool] | None:
    """From, to, and whether whole numbers only."""
    return (round(float(found["x"].low.min()), 3), round(float(found["x"].high.max()), 3), found["x"].whole) if found else None


def affine(*steps: tuple[str, object]) -> list[Row]:
    """Operations with a constant, one after another, and a convolution behind them."""
    rows: list[Row] = []
    for i, (op, value) in enumerate(steps):
        rows.append((f"c{i}", "Const", [], value))
        rows.append((f"s{i}", op, ["x" if not i else f"s{i - 1}", f"c{i}"], None))
    return [*rows, KERNEL, ("conv", "Conv2D", [f"s{len(steps) - 1}", "kernel"], None)]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("Mul", 1 / 255)], (0, 255, False)),
        ([("RealDiv", 127.5), ("Sub", 1.0)], (0, 255, False)),
        ([("Sub", 128.0), ("Mul", 1 / 128)], (0, 255, False)),
        ([("Mul", 1 / 255), ("Sub", 0.5)], (0, 255, False)),
        ([("Mul", 2.0), ("Sub", 1.0)], (0, 1, False)),
        ([("AddV2", 1.0), ("Mul", 127.5)], (-1, 1, False)),
        ([("Mul", 255.0), ("Sub", [123.68, 116.779, 103.939])], (0, 1, False)),
        ([("Sub", [103.939, 116.779, 123.68])], (0, 255, False)),
        ([("Mul", 1 / 255), ("Sub", [0.485, 0.456, 0.406]), ("RealDiv", [0.229, 0.224, 0.225])], (0, 255, False)),
        ([("Sub", [0.4914, 0.4822, 0.4465]), ("RealDiv", [0.2023, 0.1994, 0.201])], (0, 1, False)),
        ([("Mul", 1 / 65535)], (0, 65535, False)),
        ([("Minimum", 255.0), ("Maximum", 0.0), ("Mul", 1 / 255)], (-25.5, 280.5, False)),
        ([("Mul", 0.7)], None),
        ([("AddV2", 0.01)], None),
        ([("Mul", 1.0)], None),
    ],
)
def test_a_scaling_tells_what_it_is_made_for(steps: list[tuple[str, object]], expected: tuple[float, float, bool] | None) -> None:
    assert ends(ranges(*affine(*steps))) == expected


def test_a_number_minus_the_input_is_not_the_input_minus_the_number() -> None:
    assert ends(ranges(("c", "Const", [], 255.0), ("scaled", "Sub", ["c", "x"], None), KERNEL, CONV)) == (0, 255, False)


def test_the_node_and_what_it_gives_are_named() -> None:
    found = ranges(*affine(("RealDiv", 127.5), ("Sub", 1.0)))["x"]
    assert found.words == "0..255"
    assert found.why == "s1 takes that to -1..1"


def test_the_way_goes_through_resizing_transposing_and_casting() -> None:
    rows: list[Row] = [
        ("size", "Const", [], np.array([4, 4])),
        ("axes", "Const", [], np.array([0, 2, 3, 1])),
        ("wide", "Cast", ["x"], "float32"),
        ("last", "Transpose", ["wide", "axes"], None),
        ("small", "ResizeBilinear", ["last", "size"], None),
        ("c", "Const", [], 1 / 255),
        ("scaled", "Mul", ["small", "c"], None),
        KERNEL,
        CONV,
    ]
    assert ends(ranges(*rows)) == (0, 255, False)
    assert ends(ranges(*rows, dtype="uint8")) == (0, 255, True)


def test_the_mean_and_variance_of_features_are_three_standard_deviations_each_way_feature_by_feature() -> None:
    statistics = {"mean": np.array([10.0, -5.0], np.float32), "variance": np.array([4.0, 0.01], np.float32)}
    found = ranges(
        ("centred", "Sub", ["x", "mean"], None),
        ("root", "Sqrt", ["variance"], None),
        ("scaled", "RealDiv", ["centred", "root"], None),
        ("k", "Const", [], np.ones((2, 3))),
        ("out", "MatMul", ["scaled", "k"], None),
        shape=(None, 2),
        variables=statistics,
    )["x"]
    np.testing.assert_allclose(found.low, [4.0, -5.3], rtol=1e-5)
    np.testing.assert_allclose(found.high, [16.0, -4.7], rtol=1e-5)
    drawn = draw(np.random.default_rng(0), found, 400, (2,), "")
    np.testing.assert_allclose(drawn.mean(0), [10, -5], atol=0.4)
    np.testing.assert_allclose(drawn.std(0), [2, 0.1], rtol=0.15)


def test_a_layers_weight_is_no_preprocessing() -> None:
    weights = {"gain": np.array([300.0, 2.0], np.float32)}
    assert ranges(("out", "Mul", ["x", "gain"], None), shape=(None, 2), variables=weights) == {}


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_an_index_is_drawn_from_the_rows_of_its_table(dtype: str) -> None:
    table = {"table": np.ones((50, 6), np.float32)}
    rows: list[Row] = [("ids", "Cast", ["x"], "int32"), ("axis", "Const", [], 0), ("out", "GatherV2", ["table", "ids", "axis"], None)]
    found = ranges(*rows, shape=(None, 10), dtype=dtype, variables=table)
    assert ends(found) == (0, 49, True)
    drawn = draw(np.random.default_rng(0), found["x"], 10, (10,), "")
    assert np.unique(drawn, return_counts=True)[1].tolist() == [2] * 50  # every row as often as any other


def test_of_two_tables_the_smaller_one_and_an_offset_decide() -> None:
    rows: list[Row] = [
        ("axis", "Const", [], 0),
        ("one", "Const", [], 1),
        ("next", "AddV2", ["x", "one"], None),
        ("a", "GatherV2", ["large", "x", "axis"], None),
        ("b", "GatherV2", ["small", "next", "axis"], None),
        ("out", "AddV2", ["a", "b"], None),
    ]
    tables = {"large": np.ones((50, 6), np.float32), "small": np.ones((9, 6), np.float32)}
    assert ends(ranges(*rows, shape=(None, 4), dtype="int32", variables=tables)) == (0, 7, True)


def test_one_hot_has_its_depth_and_an_attention_mask_is_zero_or_one() -> None:
    depth: list[Row] = [("depth", "Const", [], 7), ("out", "OneHot", ["x", "depth"], None)]
    assert ends(ranges(*depth, shape=(None,), dtype="int32")) == (0, 6, True)
    mask: list[Row] = [("wide", "Cast", ["x"], "float32"), ("c0", "Const", [], 1.0), ("inverse", "Sub", ["c0", "wide"], None)]
    mask += [("c1", "Const", [], -10000.0), ("large", "Mul", ["inverse", "c1"], None), ("out", "Softmax", ["large"], None)]
    found = ranges(*mask, shape=(None, 6), dtype="int32")
    assert ends(found) == (0, 1, True)
    drawn = draw(np.random.default_rng(1), found["x"], 40, (6,), "")
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn[:, 0].all()  # a mask that hides everything leaves nothing


def test_of_integers_that_the_graph_does_not_explain_nothing_is_concluded() -> None:
    assert ranges(("out", "Cast", ["x"], "float32"), shape=(None, 6), dtype="int32") == {}


def test_without_a_range_a_seed_gives_what_it_always_gave_and_pictures_are_spread_over_one() -> None:
    inputs = Inputs(UserInputs(seed=4))
    image = inputs.tensor("image", (3, 8, 8), 2)
    assert -1 < image.min() < image.max() < 1
    bytes_ = Range(np.zeros(()), np.full((), 255.0), "")
    np.testing.assert_allclose(spread(image, bytes_, "NHWC"), (image + 1) * 127.5, rtol=1e-5)
    np.testing.assert_array_equal(inputs.tensor("image", (3, 8, 8), 2, bytes_, "NHWC"), spread(image, bytes_, "NHWC"))
