"""Tensors that the network itself or a block holds, which no module's output shows: a class token, position embeddings, a scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from stylexport.parity.proof import verify_module
from stylexport.parity.result import Report
from tests.parity.made import Made, drawn, made
from tests.torch_models.plain import fill

X = drawn(4, 5, 6)
Forward = Callable[["Embedded", Tensor], Tensor]


class Block(nn.Module):
    """A block with a scale of its own besides a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.dense = nn.Parameter(torch.zeros(6)), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.dense(x)


class Embedded(nn.Module):
    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.pos_embed, self.norm, self.block, self.head = nn.Parameter(torch.zeros(1, 5, 6)), nn.LayerNorm(6), Block(), nn.Linear(6, 3)
        self.does = forward
        fill(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self, x)


def right(m: Embedded, x: Tensor) -> Tensor:
    return m.head(m.block(m.norm(x + m.pos_embed)))


def verified(tmp_path: Path, forward: Forward) -> Report:
    port = Embedded(forward)
    with torch.no_grad():
        m = Embedded(right).double()
        embedded = X + m.pos_embed
        normed = m.norm(embedded)
        dense = m.block.dense(normed)
        scaled = m.block.scale * dense
        out = m.head(normed + scaled)
    taps = [Made("pos_embed", embedded, op="AddV2"), Made("norm", normed), Made("block.dense", dense), Made("block", scaled, op="Mul")]
    taps += [Made("", normed + scaled, "join", "AddV2", declared=False), Made("head", out)]
    return verify_module(port, made(tmp_path / "recording", {"x": X}, taps, {"0": out}, port))


def test_a_right_port_passes_and_every_tensor_has_an_answer(tmp_path: Path) -> None:
    report = verified(tmp_path, right)
    assert (report.verdict, report.matched) == ("pass", report.taps)
    assert {"pos_embed", "block"} <= {layer.name for layer in report.layers}


@pytest.mark.parametrize(
    ("forward", "layer", "words"),
    [
        (lambda m, x: m.head(m.block(m.norm(x))), "norm", "pos_embed is not added"),
        (lambda m, x: m.head(m.block(m.norm(x + 2 * m.pos_embed))), "norm", "pos_embed is added twice"),
        (lambda m, x: m.head(m.block(m.norm(x) + m.pos_embed)), "norm", "pos_embed is not added"),
        (lambda m, x: m.head(m.block(m.norm(x + m.pos_embed.flip(1)))), "norm", "pos_embed goes in elsewhere or otherwise"),
    ],
)
def test_a_tensor_of_the_network_that_is_used_otherwise_is_named(tmp_path: Path, forward: Forward, layer: str, words: str) -> None:
    report = verified(tmp_path, forward)
    assert report.first_fault is not None
    assert (report.first_fault.layer, report.first_fault.cause) == (layer, "parameter_place")
    assert words in report.first_fault.detail


def test_a_tensor_of_a_block_that_is_left_out_is_a_fault(tmp_path: Path) -> None:
    def without(m: Embedded, x: Tensor) -> Tensor:
        y = m.norm(x + m.pos_embed)
        return m.head(y + m.block.dense(y))

    assert [fault.layer for fault in verified(tmp_path, without).faults] == ["head"]


def test_another_value_of_such_a_tensor_is_its_own_fault(tmp_path: Path) -> None:

    port = Embedded(right)
    verified(tmp_path, right)
    with torch.no_grad():
        port.pos_embed[0, 2, 3] += 0.01
    save_file(port.state_dict(), tmp_path / "weights")
    report = verify_module(Embedded(right), tmp_path / "recording", weights=tmp_path / "weights")
    assert [(fault.layer, fault.cause) for fault in report.faults] == [("pos_embed", "weight_value")]
