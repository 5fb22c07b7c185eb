"""Where the original's own float32 kernel is wrong, float64 alone judges, and the layers are listed."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stylexport.checkpoints import EMBEDDED_RECORDING
from stylexport.converter.output.recording import RecordedNetwork, RecordedTap, Recorder, Recording
from stylexport.parity.proof import verify, verify_module
from stylexport.parity.report import SCHEMA, print_tree, to_json, write
from stylexport.parity.result import Report
from stylexport.parity.verdict import UNIT, explained_by_rounding
from tests.parity.schema import violations

NAMED = "MaxPool3D at pool: TensorFlow's float32 kernel is off by 0.76 from its definition on the same inputs"


class Pooled(nn.Module):
    """A three-dimensional pooling whose last stride is larger than its window, between two activations.

    `wrong` takes the neighbour of the right element, as TensorFlow's float32 kernel does on some processors.
    """

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.before, self.pool, self.behind = nn.Tanh(), nn.MaxPool3d(1, (1, 1, 3)), nn.Sigmoid()
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        return self.behind(self.pool(y.roll(1, -1) if self.wrong else y))


def pooled(path: Path, named: bool) -> Path:
    """A recording of a graph with such a pooling, float32 wrong from the pooling on. `named`: whether the recording says so."""
    x = torch.randn(4, 2, 3, 3, 12, generator=torch.Generator().manual_seed(3))
    right, wrong = Pooled(), Pooled(wrong=True)
    exact = [(right.before(x.double())), right.pool(right.before(x.double())), right(x.double())]
    single = [wrong.before(x), wrong.pool(wrong.before(x).roll(1, -1)), wrong(x)]
    with Recorder(path) as recorder:
        taps = []
        for (node, op, stage), value, rounded in zip(
            (("before", "Tanh", "activation"), ("pool", "MaxPool3D", "activation"), ("behind", "Sigmoid", "output")),
            exact,
            single,
            strict=True,
        ):
            floor = float((rounded.double() - value).norm() / value.norm())
            marks = {"kernel_fault": NAMED if node == "pool" else "", "kernel_fault_upstream": node != "before"} if named else {}
            tensor = recorder.add_exact(f"mine/taps/{node}", value.numpy())
            shape = tuple(value.shape)
            layer = "output" if stage == "output" else ""
            taps.append(RecordedTap(layer, stage, True, node, node, op, "", shape, 4, 0, floor, 0.0, tensor, **marks))
        inputs, outputs = recorder.add("mine/inputs/x", x.numpy()), recorder.add("mine/outputs/0", single[2].numpy())
        network = RecordedNetwork("mine", {}, None, 4, {"x": inputs}, {"x": ""}, {"0": outputs}, tuple(taps), {})
        recorder.finish({"mine": network}, tool={"name": "test"})
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["named", "recorded by an earlier version"])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pooled(tmp_path_factory.mktemp("pooled") / "recording", request.param)


def floors(recording: Path) -> list[float]:
    return [tap.floor for tap in Recording(recording).networks["mine"].taps]


def test_the_recorded_float32_is_far_from_what_rounding_explains(recording: Path) -> None:
    before, pool, behind = floors(recording)
    assert before < 4 * UNIT
    assert min(pool, behind) > 100 * explained_by_rounding(0)


def test_the_right_port_passes_by_float64_and_the_node_is_listed(recording: Path) -> None:
    report = verify_module(Pooled(), recording)
    rows = {layer.node: layer for layer in report.layers}
    assert report.verdict == "pass"
    assert rows["before"].ratio is not None
    assert (rows["pool"].ratio, rows["behind"].ratio) == (None, None)
    assert [fault.tensor for fault in report.kernel_faults] == ["pool"]
    assert report.kernel_faults[0].error == rows["pool"].floor == pytest.approx(floors(recording)[1])


def test_a_port_as_wrong_as_the_original_s_float32_is_a_fault(recording: Path) -> None:
    """Against the floor alone it would pass: its error is exactly the original's."""
    report = verify_module(Pooled(wrong=True), recording)
    assert report.verdict == "fault"
    assert max(layer.error32 or 0.0 for layer in report.layers) <= 1.01 * max(floors(recording))


def shown(report: Report) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_tree(report, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_node_is_in_the_terminal_in_both_files_for_programs_and_on_the_page(recording: Path, tmp_path: Path) -> None:
    report = verify_module(Pooled(), recording)
    write(report, tmp_path)
    assert "the original's own float32 disagrees with its float64 replay:\n  mine: MaxPool3D at pool" in shown(report)
    assert "1 node; 2 layers there and behind are judged by float64 alone." in shown(report)
    values, schema = json.loads((tmp_path / "report.json").read_text()), json.loads(SCHEMA.read_text())
    assert [row["tensor"] for row in values["kernel_faults"]] == ["pool"]
    assert list(violations(values, schema, schema)) == []
    assert 'name="the original\'s own float32" tests="1" failures="0"' in (tmp_path / "junit.xml").read_text()
    assert "MaxPool3D at pool" in (tmp_path / "index.html").read_text()


def test_a_report_without_such_a_node_does_not_mention_them(converted: Path, recorded: Path) -> None:
    report = verify(converted, recorded)
    assert report.kernel_faults == ()
    assert "kernel_faults" not in to_json(report)
    assert "disagrees" not in shown(report)


def altered(recorded: Path, folder: Path, layer: str, floor: float) -> Path:
    """A recording in which the original's float32 was off by `floor` at a layer of the encoder and behind it."""
    with safe_open(recorded, "pt") as file:
        metadata = json.loads(file.metadata()["stylexport"])
    taps = metadata["networks"]["encoder"]["taps"]
    first = [tap["layer"] for tap in taps].index(layer)
    for tap in taps[first:]:
        tap["floor"] = floor
    path = folder / "altered"
    save_file(load_file(recorded), path, {"stylexport": json.dumps(metadata)})
    return path


def test_a_fault_behind_the_node_is_found_as_ever(converted: Path, recorded: Path, tmp_path: Path) -> None:
    recording, folder = altered(recorded, tmp_path, "b16.conv0", 0.76), tmp_path / "broken"
    assert verify(converted, recording).verdict == "pass"
    shutil.copytree(converted, folder)
    weights = load_file(folder / "encoder" / "model.safetensors")
    weights["b8.conv0.weight"] = weights["b8.conv0.weight"].flip(2, 3).contiguous()
    save_file(weights, folder / "encoder" / "model.safetensors")
    report = verify(folder, recording)
    assert [(fault.layer, fault.cause) for fault in report.faults] == [("b8.conv0", "kernel_flipped")]
    verdicts = {layer.name: layer.verdict for layer in report.layers if layer.network == "encoder"}
    assert (verdicts["b8"], verdicts["output"]) == ("carried", "carried")


def test_poor_arithmetic_before_the_node_is_still_judged(converted: Path, recorded: Path, tmp_path: Path) -> None:
    report = verify(converted, altered(recorded, tmp_path, "b16.conv0", 0.76))
    ratios = {layer.name: layer.ratio for layer in report.layers if layer.network == "encoder"}
    assert ratios["b32.conv1"] is not None
    assert ratios["b16.conv0"] is ratios["b8.conv1"] is ratios["output"] is None


def test_rounding_is_allowed_more_the_deeper_it_comes_but_never_a_tenth() -> None:
    assert UNIT < explained_by_rounding(0) < explained_by_rounding(30) < explained_by_rounding(10_000) == 0.1


def test_the_embedded_recording_is_far_below_the_limit() -> None:
    taps = [tap for network in Recording(EMBEDDED_RECORDING).networks.values() for tap in network.taps]
    assert max(tap.floor / explained_by_rounding(tap.constants) for tap in taps) < 1e-3
    assert not any(tap.kernel_fault for tap in taps)
