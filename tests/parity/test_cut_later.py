"""A port that cuts later than the original passes; one that pads, cuts, pools or resizes otherwise is at fault where it does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from stylexport import record
from stylexport.parity.match.promises import Seen, broken_promises
from stylexport.parity.proof import verify_module
from stylexport.parity.result import Report

Function = Callable[[Tensor], Tensor]
ROWS = """
  - {{tf: "{0}/kernel", torch: "{0}.weight", layout: {1}}}
  - {{tf: "{0}/bias", torch: "{0}.bias"}}"""
# Of each network the kernels in TensorFlow's layout, by layer; one that begins with "u" is transposed.
KERNELS: dict[str, list[tuple[str, tuple[int, ...]]]] = {
    "decoder": [("u1", (3, 3, 4, 2)), ("u2", (5, 5, 3, 4)), ("c1", (3, 3, 3, 2))],
    "stem": [("c1", (3, 3, 2, 4)), ("c2", (3, 5, 4, 3)), ("c3", (3, 3, 3, 2))],
    "sound": [("d1", (3, 2, 3)), ("d2", (3, 3, 3))],
    "volume": [("c1", (3, 3, 3, 2, 4)), ("u1", (3, 3, 3, 2, 4))],
}
SHAPES = {"decoder": (4, 5, 2), "stem": (16, 15, 2), "sound": (12, 2), "volume": (4, 5, 4, 2)}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four graphs of TensorFlow, recorded with a user's table."""
    import tensorflow as tf

    def decoder(k: Any, x: Any) -> Any:
        x = tf.nn.relu(tf.nn.conv2d_transpose(x, k["u1"][0], [2, 8, 10, 4], 2, "SAME") + k["u1"][1])
        x = tf.nn.conv2d_transpose(x, k["u2"][0], [2, 16, 20, 3], 2, "SAME") + k["u2"][1]
        x = tf.image.resize(x, (32, 40))
        return tf.nn.conv2d(x, k["c1"][0], 1, "SAME") + k["c1"][1]

    def stem(k: Any, x: Any) -> Any:
        x = tf.nn.relu(tf.nn.conv2d(x, k["c1"][0], 2, "SAME") + k["c1"][1])
        x = tf.nn.conv2d(tf.nn.max_pool2d(x, 3, 2, "SAME"), k["c2"][0], 1, "SAME") + k["c2"][1]
        x = tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"), k["c3"][0], 1, "VALID") + k["c3"][1]
        return tf.reduce_mean(x, [1, 2])

    def sound(k: Any, x: Any) -> Any:
        x = tf.nn.relu(tf.nn.conv1d(tf.pad(x, [[0, 0], [2, 0], [0, 0]]), k["d1"][0], 1, "VALID") + k["d1"][1])
        return tf.nn.conv1d(tf.pad(x, [[0, 0], [4, 0], [0, 0]]), k["d2"][0], 1, "VALID", dilations=2) + k["d2"][1]

    def volume(k: Any, x: Any) -> Any:
        x = tf.nn.relu(tf.nn.conv3d(x, k["c1"][0], (1, 2, 2, 2, 1), "SAME") + k["c1"][1])
        return tf.nn.conv3d_transpose(x, k["u1"][0], [2, 4, 6, 4, 2], (1, 2, 2, 2, 1), "SAME") + k["u1"][1]

    draw, folder, found = np.random.default_rng(4), tmp_path_factory.mktemp("graphs"), {}
    for name, build in {"decoder": decoder, "stem": stem, "sound": sound, "volume": volume}.items():
        module = tf.Module()
        module.kernels = {}
        for layer, shape in KERNELS[name]:
            channels = shape[-2] if layer[0] == "u" else shape[-1]
            kernel, bias = draw.normal(0, 0.4, shape), draw.normal(0, 0.4, channels)
            module.kernels[layer] = [tf.Variable(kernel, name=f"{layer}/kernel", dtype="float32")]
            module.kernels[layer].append(tf.Variable(bias, name=f"{layer}/bias", dtype="float32"))
        spec = tf.TensorSpec((2, *SHAPES[name]), name="x")
        module.run = tf.function(partial(build, module.kernels), input_signature=[spec], autograph=False)
        tf.saved_model.save(module, str(folder / name))
        layout = {1: "conv1d", 2: "conv", 3: "conv3d"}[len(SHAPES[name]) - 1]
        rows = (ROWS.format(layer, layout + "_transpose" * (layer[0] == "u")) for layer, _ in KERNELS[name])
        (folder / f"{name}.yaml").write_text(f"network: {name}\ntensors:" + "".join(rows))
        found[name] = folder / f"{name}.recording"
        record(folder / name, found[name], mapping=folder / f"{name}.yaml", samples=2)
    return found


def unchanged(x: Tensor) -> Tensor:
    return x


def pad(*sides: int, **how: Any) -> Function:
    return lambda x: F.pad(x, sides, **how)


def cut(start: int, *sizes: int) -> Function:
    def cut_it(x: Tensor) -> Tensor:
        for axis, size in enumerate(sizes, 2):
            x = x.narrow(axis, start, size)
        return x

    return cut_it


CUT1, CUT2 = cut(0, 8, 10), cut(1, 16, 20)
BEFORE, AFTER = pad(0, 1, 1, 1, 0, 1), cut(0, 4, 6, 4)


class Decoder(nn.Module):
    """4 x 5, then 8 x 10, 16 x 20 and 32 x 40."""

    def __init__(self, u1: Any = (), u2: Any = (), cut1: Function = CUT1, cut2: Function = CUT2, align: bool = False):
        super().__init__()
        self.u1, self.u2 = nn.ConvTranspose2d(2, 4, 3, 2, *u1), nn.ConvTranspose2d(4, 3, 5, 2, *u2)
        self.c1, self.cut1, self.cut2, self.align = nn.Conv2d(3, 2, 3, padding=1), cut1, cut2, align

    def forward(self, x: Tensor) -> Tensor:
        x = self.cut2(self.u2(self.cut1(self.u1(x)).relu()))
        return self.c1(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align))


def smallest_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2)


class Stem(nn.Module):
    """16 x 15, then 8 x 8, then 4 x 4."""

    def __init__(self, c1: Any = None, c2: Any = None, c3: Any = None, **steps: Function) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(2, 4, 3, **{"stride": 2, **(c1 or {})})
        self.c2 = nn.Conv2d(4, 3, (3, 5), **{"padding": (1, 2), **(c2 or {})})
        self.c3 = nn.Conv2d(3, 2, 3, **(c3 or {}))
        right = {"before1": pad(1, 1, 0, 1), "pool": smallest_pool, "before2": unchanged, "before3": pad(1, 1, 1, 1, mode="reflect")}
        self.steps = {**right, "after2": unchanged, "after3": unchanged, **steps}

    def forward(self, x: Tensor) -> Tensor:
        step = self.steps
        x = step["pool"](self.c1(step["before1"](x)).relu())
        x = step["after2"](self.c2(step["before2"](x)))
        return step["after3"](self.c3(step["before3"](x))).mean((2, 3))


class Sound(nn.Module):
    def __init__(self, pads: Any = ((2, 0), (4, 0)), inside: Any = (0, 0), cuts: Any = (unchanged, unchanged)) -> None:
        super().__init__()
        self.d1, self.d2 = nn.Conv1d(2, 3, 3, padding=inside[0]), nn.Conv1d(3, 3, 3, padding=inside[1], dilation=2)
        self.pads, self.cuts = pads, cuts

    def forward(self, x: Tensor) -> Tensor:
        x = self.cuts[0](self.d1(F.pad(x, self.pads[0]))).relu()
        return self.cuts[1](self.d2(F.pad(x, self.pads[1])))


class Volume(nn.Module):
    """4 x 5 x 4, then 2 x 3 x 2, then 4 x 6 x 4."""

    def __init__(self, c1: int = 0, before: Function = BEFORE, u1: Any = (), after: Function = AFTER) -> None:
        super().__init__()
        self.c1, self.u1, self.before, self.after = nn.Conv3d(2, 4, 3, 2, c1), nn.ConvTranspose3d(4, 2, 3, 2, *u1), before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.u1(self.c1(self.before(x)).relu()))


class Zeros(Stem):
    """Padded by modules."""

    def __init__(self) -> None:
        super().__init__(before1=nn.ZeroPad2d((1, 1, 0, 1)), before3=nn.ReflectionPad2d(1))
        self.pads = nn.ModuleList(self.steps[name] for name in ("before1", "before3"))


RIGHT: dict[str, Callable[[], nn.Module]] = {
    "decoder, cut by its code": Decoder,
    "stem": Stem,
    "stem, padded by modules": Zeros,
    "stem, padded too much and cut": lambda: Stem(c2={"padding": (2, 4)}, after2=lambda x: x[..., 1:-1, 2:-2]),
    "stem, cut at the end alone": lambda: Stem(
        c3={"padding": 1}, before3=pad(1, 1, 1, 1, mode="reflect"), after3=lambda x: x[..., 1:-1, 1:-1]
    ),
    "sound": Sound,
    "sound, cut at the end": lambda: Sound(((0, 0), (0, 0)), (2, 4), (lambda x: x[..., :-2], lambda x: x[..., :-4])),
    "volume": Volume,
}
CUTS = "the port cuts the full output of {} by (1, 0) in height and width (start, end), the original (0, 1) in height and width"
PADS = "the port pads the input of {} by {} (before, after), the original by {}"
# what is wrong: the port, and the layers at fault with what is said of them
WRONG: dict[str, tuple[Callable[[], nn.Module], dict[str, str]]] = {
    "decoder, padding=k//2 and output_padding=1": (
        lambda: Decoder((1, 1), (2, 1), unchanged, unchanged),
        {"u1": CUTS.format("u1"), "u2": "by (2, 1) in height and width (start, end), the original (1, 2)"},
    ),
    "decoder, padding without output_padding": (
        lambda: Decoder((1, 0), (), unchanged, lambda x: x[..., 1:-2, 1:-2]),
        {"u1": "by (1, 1) in height and width (start, end), the original (0, 1)"},
    ),
    "decoder, cut at the other end": (
        lambda: Decoder(cut1=cut(1, 8, 10)),
        {"u2": "the port cuts (8, 10) values of it from (1, 1) on; the original cuts (8, 10) values of it from (0, 0) on"},
    ),
    "decoder, not cut": (
        lambda: Decoder(cut1=unchanged),
        {"u1": "by (0, 0) in height and width (start, end), the original (0, 1) in height and width (TensorFlow's SAME)"},
    ),
    "decoder, corners aligned": (lambda: Decoder(align=True), {"c1": "corners on corners (align_corners=True); the original resizes it"}),
    "stem, the same on every side": (
        lambda: Stem(before1=pad(1, 1, 1, 1)),
        {"c1": PADS.format("c1", "(1, 1) in height and width", "(0, 1) in height, (1, 1) in width (TensorFlow's SAME)")},
    ),
    "stem, by the convolution": (
        lambda: Stem({"padding": 1}, before1=unchanged),
        {"c1": PADS.format("c1", "(1, 1) in height and width", "(0, 1) in height, (1, 1) in width")},
    ),
    "stem, at the other side": (
        lambda: Stem(before1=pad(1, 1, 1, 0)),
        {"c1": PADS.format("c1", "(1, 0) in height, (1, 1) in width", "(0, 1) in height, (1, 1) in width")},
    ),
    "stem, axes swapped": (
        lambda: Stem(before1=pad(0, 1, 1, 1)),
        {"c1": PADS.format("c1", "(1, 1) in height, (0, 1) in width", "(0, 1) in height, (1, 1) in width")},
    ),
    "stem, not padded": (
        lambda: Stem(c2={"padding": (0, 2)}),
        {"c2": PADS.format("c2", "(0, 0) in height, (2, 2) in width", "(1, 1) in height, (2, 2) in width")},
    ),
    "stem, padded where nothing is": (
        lambda: Stem(c3={"padding": 1}),
        {"c3": PADS.format("c3", "(1, 1) in height and width", "(0, 0) in height and width")},
    ),
    "stem, with zeros": (
        lambda: Stem(before3=pad(1, 1, 1, 1)),
        {"c3": "the port pads it with zeros, the original with the reflected input"},
    ),
    "stem, pooled with padding=1": (
        lambda: Stem(pool=lambda x: F.max_pool2d(x, 3, 2, 1)),
        {"c2": "with the same padding on both sides; the original applies max pooling 3 by stride 2 with TensorFlow's SAME padding"},
    ),
    "stem, pooled without padding": (
        lambda: Stem(pool=lambda x: F.max_pool2d(x, 3, 2)),
        {"c2": "max pooling 3 by stride 2 without padding; the original applies max pooling 3 by stride 2 with TensorFlow's SAME padding"},
    ),
    "sound, in the middle": (
        lambda: Sound(((1, 1), (4, 0))),
        {"d1": PADS.format("d1", "(1, 1) in length", "(2, 0) in length")},
    ),
    "volume, the same on every side": (
        lambda: Volume(1, unchanged),
        {"c1": PADS.format("c1", "(1, 1) in depth, height and width", "(0, 1) in depth, (1, 1) in height, (0, 1) in width")},
    ),
    "volume, padding and output_padding": (
        lambda: Volume(u1=(1, 1), after=unchanged),
        {"u1": "by (1, 0) in depth, height and width (start, end), the original (0, 1) in depth, height and width"},
    ),
}


def verified(recordings: dict[str, Path], name: str, port: nn.Module) -> Report:
    return verify_module(port, recordings[name.partition(",")[0]])


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_port_passes_however_it_pads_and_cuts(recordings: dict[str, Path], name: str) -> None:
    report = verified(recordings, name, RIGHT[name]())
    assert (report.verdict, report.unmatched) == ("pass", ())


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_is_at_fault_there_and_named(recordings: dict[str, Path], name: str) -> None:
    make, wanted = WRONG[name]
    faults = verified(recordings, name, make()).faults
    assert [fault.layer for fault in faults] == list(wanted)
    for fault in faults:
        assert wanted[fault.layer] in fault.detail
        assert fault.residual <= 1e-7


def test_a_layer_that_has_too_much_is_right_where_all_behind_it_is() -> None:
    assert broken_promises(lambda whole: [Seen("a", "a" not in whole, 1), Seen("b", True)]) == frozenset()


def test_a_port_that_cannot_run_on_the_original_s_value_is_judged_by_its_own() -> None:
    assert broken_promises(lambda whole: None if whole else [Seen("a", True, 1), Seen("b", False)]) == frozenset()


def test_a_crop_at_a_wrong_place_is_no_missing_crop() -> None:
    """Behind the whole value the port cuts again, so that `b` has too little."""
    assert broken_promises(lambda whole: [Seen("a", "a" not in whole, 1), Seen("b", bool(whole), -1 if whole else 0)]) == frozenset()
