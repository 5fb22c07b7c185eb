"""How a user's own module is called and filled: inputs by their names, each in its layout; constants that no variable gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stylexport.common.errors import BadInput, MappingError
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


class WithMeans(InOrder):
    """The mean of its input is a buffer, as in many a port of a network with its preprocessing."""

    def __init__(self, mean: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3,), mean))
        self.norm = nn.BatchNorm1d(2)
        self.norm.num_batches_tracked = None  # which no recording holds

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.dense(x - self.mean))


def test_a_buffer_of_the_users_code_that_no_row_fills_is_a_constant_and_judged_where_it_goes_in(tmp_path: Path) -> None:
    x, module = drawn(4, 3).float().double(), WithMeans().double().eval()
    with torch.no_grad():
        dense, result = module.dense(x - module.mean), module(x)
    filled = nn.Module()
    filled.dense, filled.norm = module.dense, module.norm
    recording = made(tmp_path / "r", {"x": x}, [Made("dense", dense), Made("norm", result)], {"0": result}, filled)
    report = verify_module(WithMeans(), recording)
    assert report.verdict == "pass"
    assert any("mean: no row of the mapping" in remark for remark in report.remarks)
    assert [fault.layer for fault in verify_module(WithMeans(0.4), recording).faults] == ["dense"]
    only_dense = nn.Module()
    only_dense.dense = module.dense
    with pytest.raises(MappingError, match="lacks norm"):
        verify_module(WithMeans(), made(tmp_path / "s", {"x": x}, [Made("dense", dense)], {"0": result}, only_dense))


class Grouped(nn.Module):
    """A convolution and a group normalisation, whose channels the original leaves in groups."""

    def __init__(self, groups: int = 2, before: float = 1.0, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.conv, self.norm, self.before = nn.Conv2d(3, 4, 3), nn.GroupNorm(groups, 4, epsilon), before

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x * self.before)).tanh()


def test_a_group_normalisation_is_held_against_its_own_tensor_and_not_against_the_activation_behind_it(tmp_path: Path) -> None:
    x, module = drawn(4, 3, 6, 6).float().double(), Grouped().double()
    with torch.no_grad():
        conv = module.conv(x)
        norm, result = module.norm(conv).movedim(1, -1), module(x).movedim(1, -1)
    taps = [
        Made("conv", conv.movedim(1, -1), layout="NHWC"),
        Made("norm", norm.unflatten(-1, (2, 2))),
        Made("norm", result, "activation", "Tanh", declared=False, layout="NHWC"),
    ]
    recording = made(tmp_path / "r", {"x": x}, taps, {"0": result}, module)
    report = verify_module(Grouped(), recording)
    assert {layer.verdict for layer in report.layers} == {"pass"}
    assert _faults(Grouped(groups=4), recording) == [("norm", "norm_groups")]
    assert _faults(Grouped(epsilon=0.002), recording) == [("norm", "norm_epsilon")]
    assert [layer for layer, _ in _faults(Grouped(before=2), recording)] == ["conv"]


def _faults(module: nn.Module, recording: Path) -> list[tuple[str, str]]:
    return [(fault.layer, fault.cause) for fault in verify_module(module, recording).faults]


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:FutureWarning")
def test_a_compiled_module_is_looked_into_and_torchscript_is_refused(tmp_path: Path) -> None:
    x, module = drawn(4, 3).float().double(), nn.Sequential(nn.Linear(3, 2)).double()
    with torch.no_grad():
        recording = made(tmp_path / "r", {"x": x}, [Made("0", module(x))], {"0": module(x)}, module)
    assert verify_module(torch.compile(nn.Sequential(nn.Linear(3, 2)), backend="eager"), recording).verdict == "pass"
    with pytest.raises(BadInput, match="TorchScript"):
        verify_module(torch.jit.trace(nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3)), recording)
