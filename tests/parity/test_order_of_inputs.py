"""How a user's own module is given its inputs: by their names, else in order; images and sequences each in their layout."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from stylexport.parity.proof import verify_module
from tests.parity.made import Made, drawn, made

IMAGE, STEPS = drawn(4, 3, 6, 5), drawn(4, 7, 2, seed=2)


class Port(nn.Module):
    """A difference of two inputs, in a layer with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(3, 2)


class ByName(Port):
    def forward(self, less: Tensor, base: Tensor, factor: float = 2) -> Tensor:
        return self.dense(base - factor * less)


class InOrder(Port):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.dense(x - 2 * y)


class Both(nn.Module):
    """An image with its channels last, beside a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(3, 2, 3), nn.Linear(2, 2)

    def forward(self, image: Tensor, steps: Tensor) -> Tensor:
        return self.conv(image.permute(0, 3, 1, 2)).mean((2, 3)) + self.dense(steps).sum(1)


def test_inputs_go_in_by_name_where_the_module_knows_their_names_else_in_order(tmp_path: Path) -> None:
    base, less, module = drawn(4, 3), drawn(4, 3, seed=2), ByName().double()
    with torch.no_grad():
        result = module(less=less.float().double(), base=base.float().double())
    inputs = {"base": base, "less": less}
    recording = made(tmp_path / "r", inputs, [Made("dense", result)], {"0": result}, module)
    assert verify_module(ByName(), recording).verdict == "pass"
    assert verify_module(InOrder(), recording).verdict == "pass"


def test_an_image_may_lie_channels_last_beside_a_sequence(tmp_path: Path) -> None:
    module = Both().double()
    image, steps = IMAGE.float().double(), STEPS.float().double()
    with torch.no_grad():
        maps, dense = module.conv(image), module.dense(steps)
        result = maps.mean((2, 3)) + dense.sum(1)
    taps = [Made("conv", maps, layout="NCHW"), Made("dense", dense)]
    recording = made(tmp_path / "r", {"image": image, "steps": steps}, taps, {"0": result}, module)
    assert verify_module(Both(), recording).verdict == "pass"
