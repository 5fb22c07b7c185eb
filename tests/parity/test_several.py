"""Many faults at once: the report stays quick and readable, and says what they have in common."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stylexport.parity.explain.fault_budget import explainer
from stylexport.parity.explain.search import explain_briefly
from stylexport.parity.proof import verify
from tests.parity.broken import suspect


def another(tensor: Tensor, name: str, draw: torch.Generator) -> Tensor:
    """Values of the same kind that have nothing to do with a tensor's own."""
    order = torch.randperm(tensor.numel(), generator=draw)
    other = 1.25 * tensor.flatten()[order].view(tensor.shape)
    return other if "running_var" in name else other + 0.5 * torch.randn(tensor.shape, generator=draw) * tensor.std(unbiased=False) + 0.1


@pytest.fixture(scope="module")
def of_another(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same sizes with other weights throughout."""
    folder = tmp_path_factory.mktemp("another") / "converted"
    shutil.copytree(converted, folder)
    draw = torch.Generator().manual_seed(7)
    for file in folder.glob("*/model.safetensors"):
        save_file({name: another(t, name, draw).contiguous() for name, t in load_file(file).items()}, file)
    return folder


def test_the_recording_of_another_release_is_told_as_such(of_another: Path, recorded: Path) -> None:
    report = verify(of_another, recorded)
    assert report.verdict == "fault"
    assert report.first_fault is not None
    assert (report.first_fault.layer, report.first_fault.cause) == ("mapping.fc0", "weight_value")
    for network in ("generator", "encoder", "discriminator", "classifier"):
        assert any(remark.startswith(f"{network}: ") and "of another release" in remark for remark in report.remarks)
    assert sum(fault.runner_up is not None for fault in report.faults) <= 8 < len(report.faults)
    assert "unknown" not in {fault.cause for fault in report.faults}


def test_weights_that_were_rounded_are_no_other_release(converted: Path, recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rounded"
    shutil.copytree(converted, folder)
    for file in folder.glob("*/model.safetensors"):
        save_file({name: t.bfloat16().float() for name, t in load_file(file).items()}, file)
    assert not [remark for remark in verify(folder, recorded).remarks if "of another release" in remark]


def test_a_constant_that_is_wrong_everywhere_is_named_in_every_layer(converted: Path, recorded: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(converted, folder)
    config = folder / "generator" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"leaky_slope": 0.01, "gain": 1.0}))
    report = verify(folder, recorded)
    assert len(report.faults) == 4 + 7  # the mapping's layers and the convolutions
    assert {fault.cause for fault in report.faults} == {"leaky_slope"}
    assert all("(gain)" in fault.detail for fault in report.faults)


def flipped(network: torch.nn.Module) -> None:
    network.get_parameter("b8.conv0.weight").copy_(network.get_parameter("b8.conv0.weight").flip(2, 3).clone())


def test_what_the_files_show_is_named_without_a_search() -> None:
    fault = explain_briefly(suspect("encoder", "b8.conv0", flipped), ())
    assert fault is not None
    assert (fault.cause, fault.runner_up) == ("kernel_flipped", None)
    assert fault.residual < 1e-12


def test_what_the_files_do_not_show_needs_a_search_or_a_known_cause() -> None:
    layer = suspect("encoder", "b8.conv0", flipped, weights=False)
    assert explain_briefly(layer, ("gain",)) is None
    fault = explain_briefly(layer, ("kernel_flipped",))
    assert fault is not None
    assert fault.cause == "kernel_flipped"


def test_once_enough_was_looked_into_the_rest_is_said_to_be_left_alone() -> None:
    explain = explainer(full=1, most=1)
    assert explain(suspect("encoder", "b8.conv0", flipped, weights=False)).cause == "kernel_flipped"
    other = suspect("encoder", "b4.fc", lambda net: net.get_parameter("b4.fc.weight").mul_(3), weights=False)
    fault = explain(other)
    assert fault.cause == "unknown"
    assert fault.detail.startswith("not looked into: 1 fault")
    assert fault.error == fault.residual > 0.1
