"""What a user's port pads, cuts, pools or resizes otherwise than the original is named, with what would be right."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport.parity.explain.search import explain
from stylexport.parity.explain.spatial.pooling import Pooling, poolings
from stylexport.parity.explain.spatial.resizing import Resizing
from stylexport.parity.explain.suspect import Source, Suspect
from stylexport.parity.result import Fault
from tests.parity.broken import random

Function = Callable[[Tensor], Tensor]


def same(value: Tensor) -> Tensor:
    return value


def fault(right: nn.Module, wrong: nn.Module, x: Tensor, original: Function = same, port: Function = same) -> Fault:
    """The fault of layer `wrong`, given `port(x)`, where the original computes `right` of `original(x)`."""
    with torch.no_grad():
        wrong.load_state_dict(right.state_dict())
        right, wrong, x = right.double(), wrong.double(), x.double()
        given, expected = wrong(port(x)), right(original(x))
    weights = dict(right.state_dict())
    source = Source("before", x, x)
    call = lambda m, a, k: m(*a, **k)  # noqa: E731
    return explain(Suspect("model", "stem", wrong, call, (port(x),), {}, expected, given, weights, sources=(source,)))


def pad(*sides: int, mode: str = "constant") -> Function:
    return lambda x: F.pad(x, sides, mode)


# what the port does before its convolution of 3x3 by stride 2 and with it, where the original pads (0, 1) and (0, 1)
WRONG_PADS: dict[str, tuple[Function, dict[str, object], str]] = {
    "the same on every side": (pad(1, 1, 1, 1), {}, "by (1, 1) in height and width"),
    "by the convolution": (same, {"padding": 1}, "by (1, 1) in height and width"),
    "at the wrong side": (pad(1, 0, 1, 0), {}, "by (1, 0) in height and width"),
    "in the height alone": (pad(0, 0, 0, 1), {"padding": (0, 1)}, "by (0, 1) in height, (1, 1) in width"),
    "by reflection": (pad(0, 1, 0, 1, mode="reflect"), {}, "the port pads it with the reflected input, the original with zeros"),
    "by replication": (pad(0, 1, 0, 1, mode="replicate"), {}, "the port pads it with the outermost values, the original with zeros"),
    "round the other side": (pad(0, 1, 0, 1, mode="circular"), {}, "with the opposite side's values"),
    "by the convolution, by reflection": (same, {"padding": 1, "padding_mode": "reflect"}, "the reflected input, the original with zeros"),
    "with a dilation": (pad(0, 2, 0, 2), {"dilation": 2}, "stem.dilation is (2, 2), the original's (1, 1)"),
    "with a stride": (pad(0, 1, 0, 1), {"stride": 1}, "stem.stride is (1, 1), the original's (2, 2)"),
    "not": (same, {}, "by (0, 0) in height and width"),
}


@pytest.mark.parametrize("what", WRONG_PADS)
def test_a_convolution_that_is_padded_otherwise_is_named_with_the_padding_that_is_right(what: str) -> None:
    port, settings, said = WRONG_PADS[what]
    right, wrong = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(3, 4, 3, **{"stride": 2, **settings})
    found = fault(right, wrong, random(2, 3, 8, 8), pad(0, 1, 0, 1), port)
    assert found.cause == "padding"
    assert said in found.detail
    if "dilation" not in what and "stride" not in what and "refl" not in what and "repl" not in what and "round" not in what:
        assert "the original by (0, 1) in height and width (TensorFlow's SAME)" in found.detail
        assert "pad 1 below, 1 right: F.pad(x, (0, 1, 0, 1))" in found.remedy
    assert found.residual <= 1e-12


def test_height_and_width_swapped_in_a_padding_are_told() -> None:
    right, wrong = nn.Conv2d(3, 4, (3, 5)), nn.Conv2d(3, 4, (3, 5))
    found = fault(right, wrong, random(2, 3, 8, 9), pad(2, 2, 1, 1), pad(1, 1, 2, 2))
    assert found.cause == "padding"
    assert "by (2, 2) in height, (1, 1) in width (before, after), the original by (1, 1) in height, (2, 2) in width" in found.detail


def test_an_original_that_pads_by_reflection_is_told() -> None:
    found = fault(nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3, padding=1), random(2, 3, 8, 8), pad(1, 1, 1, 1, mode="reflect"))
    assert found.detail == "the port pads it with zeros, the original with the reflected input"


def test_a_causal_convolution_of_one_axis_that_is_padded_on_both_sides_is_named() -> None:
    found = fault(nn.Conv1d(3, 4, 5, dilation=2), nn.Conv1d(3, 4, 5, dilation=2, padding=4), random(2, 3, 20), pad(8, 0))
    assert "by (4, 4) in length (before, after), the original by (8, 0) in length" in found.detail
    assert "F.pad(x, (8, 0))" in found.remedy


def test_three_axes_and_groups_are_told_the_same() -> None:
    right, wrong = nn.Conv3d(4, 4, 3, 2, groups=4), nn.Conv3d(4, 4, 3, 2, padding=1, groups=4)
    found = fault(right, wrong, random(2, 4, 6, 6, 6), pad(0, 1, 0, 1, 0, 1))
    assert "by (1, 1) in depth, height and width (before, after), the original by (0, 1)" in found.detail


class Cropped(nn.ConvTranspose2d):
    """A transposed convolution and a crop that begins at `start`, in one module."""

    start = 0

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        size = [2 * n for n in x.shape[2:]]
        return super().forward(x)[..., self.start : self.start + size[0], self.start : self.start + size[1]]


class Later(Cropped):
    start = 1


@pytest.mark.parametrize("wrong", [nn.ConvTranspose2d(3, 4, 3, 2, 1, 1), Later(3, 4, 3, 2)])
def test_a_transposed_convolution_that_is_cut_at_the_wrong_end_is_named(wrong: nn.Module) -> None:
    found = fault(Cropped(3, 4, 3, 2), wrong, random(2, 3, 5, 6))
    assert found.cause == "padding"
    assert found.detail == (
        "the port cuts the full output of stem by (1, 0) in height and width (start, end), the original (0, 1) in height and width "
        "(TensorFlow's SAME)"
    )
    assert found.remedy == "set padding to 0 and output_padding to 0, and cut what it gives: y[..., 0:10, 0:12]"


def test_a_transposed_convolution_whose_padding_would_be_another_is_told_which() -> None:
    right, wrong = nn.ConvTranspose1d(3, 4, 4, 2, 1), nn.ConvTranspose1d(3, 4, 4, 2, 0)
    found = fault(right, wrong, random(2, 3, 7))
    assert "by (0, 0) in length (start, end), the original (1, 1) in length (TensorFlow's SAME)" in found.detail
    assert found.remedy == "set padding to (1,) and output_padding to (0,)"


def test_a_stride_of_a_transposed_convolution_is_told() -> None:
    found = fault(nn.ConvTranspose3d(3, 4, 3, 2), nn.ConvTranspose3d(3, 4, 3, 1), random(1, 3, 3, 3, 3))
    assert "stem.stride is (1, 1, 1), the original's (2, 2, 2)" in found.detail


BETWEEN: dict[str, tuple[Function, Function, str, str]] = {
    "corners": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        "resizing",
        "linear interpolation, corners on corners (align_corners=True); the original resizes it by linear interpolation, pixels as areas",
    ),
    "nearest": (
        lambda x: F.interpolate(x.relu(), scale_factor=2, mode="bilinear"),
        lambda x: F.interpolate(x.relu(), scale_factor=2),
        "resizing",
        "the nearest pixel",
    ),
    "the cubic kernel": (
        lambda x: Resizing("cubic", "half_pixel", -0.5)(x, (16, 16)),
        lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
        "resizing",
        "cubic interpolation (a = -0.75), pixels as areas (align_corners=False); the original resizes it by cubic interpolation (a = -0.5)",
    ),
    "pool padding": (
        lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-1e9), 3, 2),
        lambda x: F.max_pool2d(x, 3, 2, 1),
        "pooling",
        "with the same padding on both sides; the original applies max pooling 3 by stride 2 with TensorFlow's SAME padding",
    ),
    "counted zeros": (
        lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        lambda x: F.avg_pool2d(x, 3, 1, 1),
        "pooling",
        "its zeros counted; the original applies average pooling 3 by stride 1 with TensorFlow's SAME padding",
    ),
    "ceil_mode": (
        lambda x: F.max_pool2d(x[..., :7, :7], 2, 2, ceil_mode=True),
        lambda x: F.max_pool2d(x[..., :7, :7], 2, 2),
        "pooling",
        "without padding; the original applies max pooling 2 by stride 2 with TensorFlow's SAME padding",
    ),
    "average for maximum": (lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), "pooling", "average pooling 2 by stride 2"),
    "activation": (torch.relu, same, "activation", "applies no activation; the original applies relu"),
    "crop": (
        lambda x: x[..., 1:7, 1:7],
        lambda x: x[..., 2:8, 2:8],
        "padding",
        "from (2, 2) on; the original cuts (6, 6) values of it from",
    ),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_what_a_port_does_otherwise_before_a_layer_is_named(what: str) -> None:
    original, port, cause, said = BETWEEN[what]
    x = random(2, 3, 7, 7) if what == "ceil_mode" else random(2, 3, 8, 8)
    found = fault(nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), x, original, port)
    assert (found.cause, found.residual <= 1e-12) == (cause, True), found.detail
    assert said in found.detail
    assert found.detail.startswith("between before and stem the port ")


def test_a_crop_before_a_join_is_named() -> None:
    x, other = random(2, 3, 10, 10), random(2, 2, 6, 6, seed=3)
    found = fault(
        nn.Conv2d(5, 4, 3),
        nn.Conv2d(5, 4, 3),
        x,
        lambda x: torch.cat([x[..., 2:-2, 2:-2], other], 1),
        lambda x: torch.cat([x[..., :-4, :-4], other], 1),
    )
    assert "the port cuts (6, 6) values of it from (0, 0) on; the original cuts (6, 6) values of it from (2, 2) on" in found.detail


def test_what_is_none_of_the_usual_stays_unknown() -> None:
    wrong = lambda x: x.roll(1, 2) * x.mean()  # noqa: E731
    assert fault(nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), random(2, 3, 8, 8), same, wrong).cause == "unknown"


@pytest.mark.parametrize("size", [7, 8])
def test_poolings_are_pytorch_s_own(size: int) -> None:
    x = random(1, 2, size, size)
    for pooling in poolings():
        k, s, pads = pooling.window, pooling.stride, pooling.window // 2 if "symmetric" in pooling.rule else 0
        if "same" in pooling.rule or (pooling.kind == "max" and pooling.border == "zeros"):
            continue
        if pooling.kind == "max":
            wanted = F.max_pool2d(x, k, s, pads, ceil_mode="ceil" in pooling.rule)
        else:
            wanted = F.avg_pool2d(x, k, s, pads, "ceil" in pooling.rule, pooling.border == "zeros")
        assert torch.allclose(pooling(x), wanted, atol=1e-12), pooling
        assert pooling.size((size, size)) == tuple(wanted.shape[2:])


def test_same_pooling_leaves_the_border_out() -> None:
    x = random(1, 1, 4, 4)
    assert Pooling("average", 3, 2, "same")(x)[0, 0, 1, 1] == pytest.approx(float(x[0, 0, 2:, 2:].mean()))
    assert Pooling("max", 3, 2, "same", "zeros")(-x.abs())[0, 0, 1, 1] == 0


@pytest.mark.parametrize("out", [5, 12, 13])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizings_are_pytorch_s_own(mode: str, out: int) -> None:
    x, kernel = random(1, 2, 6, 6), {"bilinear": "linear", "bicubic": "cubic"}[mode]
    for corners, align in (("half_pixel", False), ("align", True)):
        wanted = F.interpolate(x, (out, out), mode=mode, align_corners=align)
        assert torch.allclose(Resizing(kernel, corners)(x, (out, out)), wanted, atol=1e-12)
