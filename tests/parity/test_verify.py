"""A converted folder against a recording: what passes, what is found, and what each kind of damage is called."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.parity.proof import verify
from stylexport.parity.verdict import EXACT
from stylexport.torch_models import StylEx
from tests.conftest import run

Folder = Callable[..., Path]


@pytest.fixture
def broken(converted: Path, tmp_path: Path) -> Folder:
    """A copy of the converted folder with tensors of a network changed, or fields of its config.json."""

    def copy(network: str, tensors: dict[str, Callable[[Tensor], Tensor]] | None = None, **fields: object) -> Path:
        folder = tmp_path / "broken"
        if not folder.exists():
            shutil.copytree(converted, folder)
        if tensors:
            weights = load_file(folder / network / "model.safetensors")
            for name, change in tensors.items():
                weights[name] = change(weights[name]).contiguous()
            save_file(weights, folder / network / "model.safetensors")
        config = folder / network / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | fields))
        return folder

    return copy


def test_the_right_port_passes_with_every_tap_covered(converted: Path, recorded: Path) -> None:
    report = verify(converted, recorded)
    assert report.verdict == "pass"
    assert report.taps == report.matched > 145
    assert {layer.verdict for layer in report.layers} == {"pass"}
    assert max(layer.alone or 0.0 for layer in report.layers) < 1e-9
    assert [gate.passed for gate in report.gates] == [True] * 3


def test_only_the_layer_at_fault_fails_alone_and_those_behind_carry_it(broken: Folder, recorded: Path) -> None:
    report = verify(broken("generator", {"synthesis.b16.conv0.weight": lambda w: w.flip(2, 3)}), recorded)
    verdicts = {layer.name: layer.verdict for layer in report.layers if layer.network == "generator"}
    assert [name for name, verdict in verdicts.items() if verdict == "fault"] == ["synthesis.b16.conv0"]
    assert verdicts["synthesis.b16.conv1"] == verdicts["synthesis.b32"] == "carried"
    assert verdicts["synthesis.b8.conv1"] == verdicts["style_vectors.b32.conv1"] == "pass"
    assert report.first_fault is not None
    assert report.first_fault.cause == "kernel_flipped"


def test_two_faults_in_one_network_are_both_found(broken: Folder, recorded: Path) -> None:
    folder = broken(
        "encoder",
        {"b32.conv0.bias": torch.zeros_like, "b8.skip.weight": lambda w: 2 * w},
    )
    report = verify(folder, recorded)
    assert [fault.layer for fault in report.faults] == ["b32.conv0", "b8.skip"]
    assert report.faults[0].cause == "bias_missing"


def test_outputs_of_a_network_without_labels_are_no_labels(broken: Folder, recorded: Path) -> None:
    folder = broken("encoder", {"b4.out.weight": lambda w: w.flip(0), "b4.out.bias": lambda b: b.flip(0)})
    assert [(fault.layer, fault.cause) for fault in verify(folder, recorded).faults] == [("b4.out", "channel_order")]


def test_another_epsilon_under_the_normalisation_of_z_is_called_so(broken: Folder, recorded: Path) -> None:
    fault = verify(broken("generator", normalize_epsilon=1e-3), recorded).first_fault
    assert fault is not None
    assert (fault.layer, fault.detail) == ("mapping.fc0", "z is normalised with another epsilon")


def test_a_kernel_with_all_its_axes_reversed_is_named(broken: Folder, recorded: Path) -> None:
    fault = verify(broken("generator", {"synthesis.b4.conv1.weight": lambda w: w.permute(1, 0, 3, 2)}), recorded).first_fault
    assert fault is not None
    assert (fault.layer, fault.cause) == ("synthesis.b4.conv1", "in_out_swapped")
    assert "height and width" in fault.detail


def test_a_wrong_constant_in_the_configuration_is_found_where_it_first_acts(broken: Folder, recorded: Path) -> None:
    report = verify(broken("discriminator", residual_scale=1.0), recorded)
    assert report.first_fault is not None
    assert (report.first_fault.layer, report.first_fault.cause) == ("b32", "residual_scale")
    assert {fault.layer for fault in report.faults} == {"b32", "b16", "b8"}


def test_another_stride_is_placed_at_the_layer_whose_output_has_another_shape(broken: Folder, converted: Path, recorded: Path) -> None:
    layers = json.loads((converted / "classifier" / "config.json").read_text())["layers"]
    layers[0]["stride"] = [1, 1]
    report = verify(broken("classifier", layers=layers), recorded)
    assert [(fault.layer, fault.cause) for fault in report.faults] == [("conv0.conv", "padding")]
    assert report.faults[0].remedy == "set stride to (2, 2), as the original's graph has it"
    assert report.faults[0].residual <= EXACT
    verdicts = {layer.name: layer.verdict for layer in report.layers if layer.network == "classifier"}
    assert (verdicts["conv0.bn"], verdicts["head"], verdicts["output"]) == ("carried", "carried", "carried")


def test_a_tensor_that_no_call_uses_is_compared_by_value(broken: Folder, recorded: Path) -> None:
    report = verify(broken("generator", {"w_avg": lambda w: w + 1e-4 * (torch.arange(len(w)) == 3)}), recorded)
    assert report.first_fault is not None
    assert (report.first_fault.layer, report.first_fault.cause) == ("w_avg", "weight_value")
    assert "w_avg[3]" in report.first_fault.detail
    assert "1 of 32 elements" in report.first_fault.detail


def test_a_difference_below_every_rounding_is_found_by_value(broken: Folder, recorded: Path) -> None:
    def last_bit(w: Tensor) -> Tensor:
        w[2, 1, 0, 2] = torch.nextafter(w[2, 1, 0, 2], torch.tensor(9.0))
        return w

    report = verify(broken("encoder", {"b16.conv0.weight": last_bit}), recorded)
    assert report.verdict == "fault"
    assert report.first_fault is not None
    assert report.first_fault.layer == "b16.conv0"
    assert "b16.conv0.weight[2, 1, 0, 2]" in report.first_fault.detail


def test_a_wrong_constant_input_is_its_blocks_fault_and_not_the_next_layers(broken: Folder, recorded: Path) -> None:
    report = verify(broken("generator", {"synthesis.b4.const": lambda c: c.transpose(1, 2)}), recorded)
    assert [fault.layer for fault in report.faults] == ["synthesis.b4"]


def test_values_that_are_no_numbers_are_a_fault(broken: Folder, recorded: Path) -> None:
    report = verify(broken("classifier", {"b3.depthwise.bn.running_var": lambda v: -v}), recorded)
    assert report.first_fault is not None
    assert report.first_fault.layer == "b3.depthwise.bn"
    assert not any(gate.passed for gate in report.gates if gate.network == "classifier")


def test_a_network_that_was_not_converted_leaves_the_coverage_incomplete(converted: Path, recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(converted, folder)
    manifest = json.loads((folder / "stylex.json").read_text())
    del manifest["networks"]["encoder"]
    (folder / "stylex.json").write_text(json.dumps(manifest))
    report = verify(folder, recorded)
    assert (report.verdict, report.exit_code) == ("incomplete", 3)
    assert all(name.startswith("encoder: ") for name in report.unmatched)


def test_weights_kept_in_16_bits_are_poor_arithmetic_and_not_another_function(converted: Path, recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(converted, folder)
    for network in ("generator", "encoder", "discriminator", "classifier"):
        path = folder / network / "model.safetensors"
        save_file({name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}, path)
    report = verify(folder, recorded)
    assert report.verdict == "numeric"
    assert not report.faults
    assert any("16 bits" in remark for remark in report.remarks)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_lower_precision_is_judged_by_its_own_rounding(converted: Path, recorded: Path, precision: str) -> None:
    report = verify(converted, recorded, precision=precision)
    assert report.verdict == "pass"
    assert len(report.losses) > 100
    assert report.losses[0].ratio >= report.losses[-1].ratio > 0


def test_tf32_needs_a_gpu(converted: Path, recorded: Path) -> None:
    with pytest.raises(BadInput, match="--device cuda"):
        verify(converted, recorded, precision="tf32")


def test_a_flipped_bit_in_the_recording_is_found(converted: Path, recorded: Path, tmp_path: Path) -> None:
    data = bytearray(recorded.read_bytes())
    data[-40_000] ^= 4
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    with pytest.raises(DamagedFile, match="does not match its checksum"):
        verify(converted, damaged)


@pytest.mark.parametrize("size", [0, 7, 1000, 100_000, -1])
def test_a_recording_cut_short_is_one_clear_error(converted: Path, recorded: Path, tmp_path: Path, size: int) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(recorded.read_bytes()[:size])
    ran = run("verify", converted, "--against", cut)
    assert ran.code == 2
    assert "record the release again" in ran.one_line_error()


def test_a_weights_file_is_no_recording(converted: Path) -> None:
    ran = run("verify", converted, "--against", converted / "encoder" / "model.safetensors")
    assert ran.code == 2
    assert "is no recording" in ran.one_line_error()


def test_the_command_writes_the_report_and_leaves_with_its_code(broken: Folder, converted: Path, recorded: Path, tmp_path: Path) -> None:
    assert run("verify", converted, "--against", recorded, "--report", tmp_path / "good").code == 0
    folder = broken("classifier", {"head.weight": lambda w: w.flip(0), "head.bias": lambda b: b.flip(0)})
    ran = run("verify", folder, "--against", recorded, "--report", tmp_path / "bad", "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["first_fault"]["cause"] == "label_order"
    assert json.loads((tmp_path / "bad" / "report.json").read_text()) == json.loads(ran.out)
    assert {path.name for path in (tmp_path / "bad").iterdir()} == {"report.json", "junit.xml", "index.html"}


@pytest.mark.parametrize(
    "arguments",
    [(), ("--against", "x"), ("folder",), ("folder", "--against", "x", "--release", "y"), ("--module", "a:b", "--release", "y")],
)
def test_usage_is_told_in_a_line(arguments: tuple[str, ...]) -> None:
    ran = run("verify", *arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_logits_handed_to_the_generator_are_found_between_the_networks(
    converted: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(self: StylEx, image: Tensor) -> Tensor:
        assert self.encoder is not None
        return torch.cat([self.encoder(image), self.classify(image)], 1)

    monkeypatch.setattr(StylEx, "encode", encode)
    report = verify(converted, recorded)
    assert report.first_fault is not None
    fault = report.first_fault
    assert (fault.network, fault.layer, fault.cause) == ("stylex", "encode", "logits_for_probabilities")
    assert fault.residual <= 1e-7
