"""A user's own table: the documented examples run as they stand, and whatever is wrong with a table is one clear message."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from stylexport.common.errors import BadInput, IncompleteCoverage, MappingError
from stylexport.converter.output.convert import convert
from stylexport.converter.output.ledger import read_ledger
from stylexport.converter.output.safetensors_file import read
from stylexport.torch_models.config import MobileNetV1Config, mobilenet_layers
from tests.conftest import run
from tests.converter.bundles import write_bundle
from tests.converter.mapping.weights import keras_weights
from tests.converter.test_convert import small_encoder

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"


def blocks() -> list[tuple[str, str]]:
    """The page's code blocks: (language, text)."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


@pytest.mark.tensorflow
def test_the_documented_example_runs_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (trains, program), (_, table), (_, command), (loads, check), *_ = blocks()
    assert (trains, loads) == ("python", "python")
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    Path("autoencoder.yaml").write_text(table)
    program_name, *arguments = shlex.split(command)
    assert program_name == "stylexport"
    ran = run(*arguments)
    assert ran.code == 0, ran.err
    assert len(read_ledger(Path("converted/autoencoder/conversion.json")).tensors) == 18
    assert "`stylexport inspect autoencoder.keras` lists its 18 variables." in PAGE.read_text()
    capsys.readouterr()
    exec(check, {})
    assert re.search(r"relative error \d", capsys.readouterr().out)
    with pytest.raises(AssertionError):
        exec(check.replace("eps=1e-3", "eps=1e-5"), {})


def test_the_documented_correction_chooses_between_two_variables(tmp_path: Path) -> None:
    language, correction = blocks()[-1]
    assert language == "yaml"
    variables = small_encoder()
    variables["ema/encoder/Conv4x4/weight"] = variables["encoder/Conv4x4/weight"] + 1
    bundle = write_bundle(tmp_path / "model", variables)
    with pytest.raises(MappingError, match="2 variables answer to encoder/Conv4x4/weight and differ"):
        convert(bundle, tmp_path / "out")
    (tmp_path / "table.yaml").write_text(correction)
    ledger = convert(bundle, tmp_path / "out", mapping=tmp_path / "table.yaml").ledgers["encoder"]
    kernel = read(tmp_path / "out" / "encoder" / "model.safetensors")["b4.conv.weight"]
    np.testing.assert_array_equal(kernel, variables["ema/encoder/Conv4x4/weight"].transpose(3, 2, 0, 1))
    assert [(row.variable, row.reason) for row in ledger.left_out] == [("encoder/Conv4x4/weight", "the average is converted instead")]


def test_what_a_correction_leaves_out_is_no_candidate(tmp_path: Path) -> None:
    variables = small_encoder()
    averages = {f"ema/{name}": value + 1 for name, value in variables.items()}
    table = written(tmp_path, "network: encoder\nleft_out: [{tf: ema/*, reason: averages}]")
    ledger = convert(write_bundle(tmp_path / "model", variables | averages), tmp_path / "out", mapping=table).ledgers["encoder"]
    assert {row.variable for row in ledger.tensors} == set(variables)
    assert {row.variable for row in ledger.left_out} == set(averages)


def test_a_classifiers_tensor_is_chosen_by_its_key(tmp_path: Path) -> None:
    arrays = keras_weights(MobileNetV1Config(mobilenet_layers(0.05), labels=3))
    other = arrays["conv2d_14/bias"][::-1] + 1
    np.savez(tmp_path / "weights.npz", **arrays, averaged=other)
    table = "network: classifier\ntensors: [{key: averaged, torch: head.bias}]\nleft_out: [{tf: conv2d_14/bias, reason: not averaged}]"
    convert(tmp_path / "weights.npz", tmp_path / "out", mapping=written(tmp_path, table))
    np.testing.assert_array_equal(read(tmp_path / "out" / "classifier" / "model.safetensors")["head.bias"], other)


VARIABLES = {
    "a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b/a/bias": np.float32([1, 2, 3, 4]),
    "c/a/bias": np.float32([5, 6, 7, 8]),
    "step/Adam": np.float32([9]),
}
GOOD = "network: small\ntensors:\n  - {tf: a/kernel, torch: fc.weight, layout: dense}\n"


def written(folder: Path, table: str) -> Path:
    (folder / "table.yaml").write_text(table)
    return folder / "table.yaml"


def test_rows_repeat_over_every_combination_of_their_loops(tmp_path: Path) -> None:
    variables = {f"block{i}/{part}/kernel": np.float32([[i, len(part)]]) for i in (1, 2) for part in ("up", "down")}
    table = "network: n\ntensors:\n  - {tf: 'block{i}/{p}/kernel', torch: 'b{i}.{p}', layout: dense, for: {i: [1, 2], p: [up, down]}}"
    convert(write_bundle(tmp_path / "model", variables), tmp_path / "out", mapping=written(tmp_path, table))
    tensors = read(tmp_path / "out" / "n" / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "b1.up": [[1], [2]],
        "b1.down": [[1], [4]],
        "b2.up": [[2], [2]],
        "b2.down": [[2], [4]],
    }


def test_a_table_may_be_json_and_its_config_is_copied(tmp_path: Path) -> None:
    table = {
        "network": "small",
        "config": {"labels": [4, 2]},
        "tensors": [{"key": "a/kernel", "torch": "w"}],
        "left_out": [{"tf": "[bc]/*", "reason": "of another head"}, {"tf": "step/Adam", "reason": "no"}],
    }
    convert(write_bundle(tmp_path / "model", VARIABLES), tmp_path / "out", mapping=written(tmp_path, json.dumps(table)))
    assert json.loads((tmp_path / "out" / "small" / "config.json").read_text()) == {"network": "small", "labels": [4, 2]}


def test_a_variable_without_a_row_is_incomplete_coverage(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCoverage, match=r"holds 3 variables that no rule answers for: b/a/bias \[4\], c/a/bias \[4\]"):
        convert(write_bundle(tmp_path / "model", VARIABLES), tmp_path / "out", mapping=written(tmp_path, GOOD))
    assert not (tmp_path / "out").exists()


ROW = "network: small\ntensors:\n  - "
WRONG = {
    "unknown layout": (
        ROW + "{tf: a/kernel, torch: w, layout: oihw}",
        r"row 1: layout 'oihw' is not one of identity, conv, .*dense_after_hwc",
    ),
    "layout that is a list": (ROW + "{tf: a/kernel, torch: w, layout: [conv]}", r"row 1: layout \['conv'\] is not one of"),
    "layout without its map": (
        ROW + "{tf: a/kernel, torch: w, layout: dense_after_hwc}",
        r"not one of .*{dense_after_hwc: \[height, width\]}",
    ),
    "map of no size": (ROW + "{tf: a/kernel, torch: w, layout: {vector_hwc: [0, 3]}}", r"layout {'vector_hwc': \[0, 3\]} is not one of"),
    "layout that does not fit": (
        ROW + "{tf: a/kernel, torch: w, layout: conv}",
        r"for w: HWIO -> OIHW needs 4 axes, not \[3, 4\]",
    ),
    "map that does not fit": (ROW + "{tf: a/kernel, torch: w, layout: {dense_after_hwc: [2, 2]}}", r"a multiple of 4, not \[3, 4\]"),
    "another shape": (ROW + "{tf: a/kernel, torch: w, shape: [4, 3]}", r"a/kernel \[3, 4\] becomes \[3, 4\]; w needs \[4, 3\]"),
    "shape that is a number": (ROW + "{tf: a/kernel, torch: w, shape: 12}", "row 1: shape 12 is not a list of sizes"),
    "missing variable": (ROW + "{tf: d/kernel, torch: w}", "no variable for d/kernel; `stylexport inspect` lists them"),
    "missing key": (ROW + "{key: d/kernel, torch: w}", "no variable for d/kernel"),
    "ambiguous name": (ROW + "{tf: a/bias, torch: w}", r"2 variables \(b/a/bias, c/a/bias\) for a/bias; name one by its `key`"),
    "doubled row": (GOOD + "  - {tf: b/a/bias, torch: fc.weight}", "fc.weight have more than one row"),
    "name and key": (ROW + "{tf: a/kernel, key: a/kernel, torch: w}", "row 1: needs `torch`, and `tf`"),
    "row without torch": (ROW + "{tf: a/kernel}", "row 1: needs `torch`, and `tf`"),
    "no tensor's name": (ROW + "{tf: a/kernel, torch: __metadata__}", "row 1: '__metadata__' cannot be the name of a tensor"),
    "row that is text": (GOOD + "  - a/kernel", "row 2: needs `torch`, and `tf`"),
    "part outside": (ROW + "{tf: 'a/kernel[:, 4:6]', torch: w}", r"row 1: a/kernel, for w: \[:, 4:6\] lies outside \[3, 4\]"),
    "part that is none": (ROW + "{tf: 'a/kernel[, 1]', torch: w}", r"write an index or a range for each axis, as in \[0\] or \[:5, 8:16\]"),
    "part of more axes": (ROW + "{tf: 'a/kernel[0, 0, 0]', torch: w}", r"\[0, 0, 0\] names 3 axes of \[3, 4\]"),
    "parts that leave a number out": (ROW + "{tf: 'a/kernel[:2]', torch: w}", r"a/kernel \[3, 4\]: of it only \[0:2\] is taken.*\[2, 0\]"),
    "parts that overlap": (GOOD + "  - {tf: 'a/kernel[0]', torch: w}", r"a/kernel \[3, 4\]: its parts overlap \(all of it, \[0\]\)"),
    "parts of unequal width": (
        ROW + "{tf: [a/kernel, 'a/kernel[:, 1]'], torch: w}",
        r"a/kernel \[3, 4\] and a/kernel\[0:3, 1\] \[3\] become \[3, 4\] and \[3\], which cannot be joined along axis 0 of w",
    ),
    "axis of one variable": (ROW + "{tf: a/kernel, torch: w, axis: 1}", "row 1: `axis` is the axis of the tensor"),
    "brackets without quotes": (ROW + "{tf: a/kernel[0], torch: w}", "not valid YAML .*write a name with brackets in quotes"),
    "fill without a shape": (ROW + "{fill: 0, torch: w}", "row 1: `fill` needs the tensor's `shape`"),
    "fill that does not divide": (ROW + "{fill: [0, 1], torch: w, shape: [3]}", "its first size a multiple of 2"),
    "fill that is no number": (ROW + "{fill: zero, torch: w, shape: [3]}", "row 1: `fill` is a number, or a list with one for each gate"),
    "gates that are no order": (ROW + "{tf: a/kernel, torch: w, layout: {gates: [0, 2]}}", r"{gates: \[each gate's place, from 0\]}"),
    "gates that do not divide": (ROW + "{tf: a/kernel, torch: w, layout: gru}", r"gates \[1, 0, 2\] needs .*a multiple of 3, not \[3, 4\]"),
    "GRU that nn.GRU does not compute": (
        ROW + "{tf: c/a/bias, torch: w, layout: gru}",
        r"row 1: c/a/bias, for w: a bias \[4\] is that of a GRU with reset_after=False.*write a cell of your own",
    ),
    "unknown field": (ROW + "{tf: a/kernel, torch: w, dtype: float16}", "row 1: unknown entries dtype"),
    "loop without values": (ROW + "{tf: 'a{i}/kernel', torch: 'w{i}', for: {j: [1]}}", r"row 1: `for` must list values for each \{name\}"),
    "loop over a number": (ROW + "{tf: 'a{i}/kernel', torch: 'w{i}', for: {i: 3}}", "row 1: `for` must list values"),
    "loops in a list": (ROW + "{tf: a/kernel, torch: w, for: [1, 2]}", "row 1: `for` must list values"),
    "bad yaml": ("network: small\ntensors: [{tf: a/kernel", r"table.yaml: is not valid YAML \(.*line 2"),
    "no network": ("tensors: []", "a mapping needs `network: NAME`"),
    "a list": ("- network: small", "a mapping needs `network: NAME`"),
    "network that is a path": ("network: ../small", "network '../small' becomes a folder's name"),
    "unknown entry": (GOOD + "layers: []", "unknown entries layers; a mapping has network, config, tensors, left_out"),
    "no rows": ("network: small", "has no rows under `tensors:`"),
    "rows that are not a list": ("network: small\ntensors: {tf: a/kernel}", "`tensors:` is a list of rows"),
    "rows that are a number": ("network: small\ntensors: 3", "`tensors:` is a list of rows"),
    "config that is a list": (GOOD + "config: [1]", "`config:` is a table of settings"),
    "config with a network": (GOOD + "config: {network: other}", "`config:` is a table of settings, none of them called network"),
    "config with a date": (GOOD + "config: {made: 2021-04-27}", "`config:` becomes JSON, which cannot hold it"),
    "excuse without reason": (GOOD + "left_out: [{tf: b/*}]", r"each row of left_out needs `tf` \(a pattern of names\) and `reason`"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_table_is_one_clear_message(fault: str, tmp_path: Path) -> None:
    table, message = WRONG[fault]
    bundle = write_bundle(tmp_path / "model", VARIABLES)
    ran = run("convert", bundle, "-o", tmp_path / "out", "--mapping", written(tmp_path, table))
    assert ran.code == 2
    assert re.search(message, ran.one_line_error()), ran.err
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml: No such file or directory; check the path given to --mapping"):
        convert(write_bundle(tmp_path / "model", VARIABLES), tmp_path / "out", mapping=tmp_path / "none.yaml")


@pytest.mark.parametrize("row", ["{tf: [x, y], torch: b4.conv.weight}", "{fill: 0, torch: b4.conv.bias, shape: [4]}"])
def test_a_known_networks_tensors_are_whole_variables(row: str, tmp_path: Path) -> None:
    variables = small_encoder() | {"x": np.float32([1]), "y": np.float32([2])}
    bundle = write_bundle(tmp_path / "model", variables)
    with pytest.raises(MappingError, match="a tensor of the encoder is one whole variable, without parts, lists and `fill`"):
        convert(bundle, tmp_path / "out", mapping=written(tmp_path, f"network: encoder\ntensors: [{row}]"))


def test_a_correction_of_a_tensor_that_the_network_does_not_have(tmp_path: Path) -> None:
    table = "network: encoder\ntensors: [{key: encoder/Conv4x4/weight, torch: b4.convolution.weight}]"
    with pytest.raises(MappingError, match=r"the encoder has no b4\.convolution\.weight"):
        convert(write_bundle(tmp_path / "model", small_encoder()), tmp_path / "out", mapping=written(tmp_path, table))
