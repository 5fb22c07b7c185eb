"""What a transposed convolution's full output is cut by, and with which stride, to be what the original gave.

TensorFlow's SAME cuts the smaller half at the start; PyTorch's `padding` cuts the same on both sides, and `output_padding` gives back at
the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE, Hypothesis
from stylexport.parity.explain.spatial.borders import Pads, by_axis, padded
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT
from stylexport.parity.windows import nearest_window

TRANSPOSED: dict[int, Callable[..., Tensor]] = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}
STRIDES, DILATIONS = (1, 2, 3, 4), (1, 2, 3)


@dataclass(frozen=True)
class Cut:
    """A transposed convolution whose full output is cut by (start, end) on each axis; a negative number adds zeros before the bias."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    ends: Pads

    def output(self, module: Any, x: Tensor) -> Tensor:
        """What it gives."""
        full = TRANSPOSED[x.ndim](x, module.weight, None, self.stride, 0, 0, module.groups, self.dilation)
        cut = padded(full, tuple((-a, -b) for a, b in self.ends))
        return cut if module.bias is None else cut + module.bias.reshape(-1, *(1,) * (x.ndim - 2))


def transposed_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """The cut, stride or dilation put right, where there are any that give the original's output."""
    module: Any = suspect.module
    if not isinstance(module, _ConvTransposeNd) or not suspect.args or not isinstance(suspect.args[0], Tensor):
        return
    x, axes = suspect.args[0], module.weight.ndim - 2
    if x.ndim != module.weight.ndim or suspect.expected.ndim != x.ndim:
        return
    ways = [(module.stride, module.dilation)]
    ways += [((s,) * axes, (d,) * axes) for d in DILATIONS for s in STRIDES if ((s,) * axes, (d,) * axes) != ways[0]]
    for stride, dilation in ways:
        if (found := _fitted(module, x, suspect.expected, stride, dilation)) is not None:
            yield _hypothesis(suspect, found)
            return


def _fitted(module: Any, x: Tensor, wanted: Tensor, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Cut | None:
    """The cut that gives `wanted`; None where none does."""
    facts = zip(x.shape[2:], module.kernel_size, stride, dilation, strict=True)
    full = [(n - 1) * s + (k - 1) * d + 1 for n, k, s, d in facts]
    if any(abs(f - out) > f for f, out in zip(full, wanted.shape[2:], strict=True)):
        return None
    extra = [max(out - f, 0) + s for f, out, s in zip(full, wanted.shape[2:], stride, strict=True)]
    try:
        whole = Cut(stride, dilation, tuple((-e, -e) for e in extra)).output(module, x[:1])
        window = nearest_window(whole, wanted[:1])
    except IMPOSSIBLE:
        return None
    if window is None or not finite_error(window.of(whole), wanted[:1]) <= EXACT:
        return None
    starts = [a - e for a, e in zip(window.start, extra, strict=True)]
    return Cut(stride, dilation, tuple((a, f - a - out) for a, f, out in zip(starts, full, wanted.shape[2:], strict=True)))


def _hypothesis(suspect: Suspect, found: Cut) -> Hypothesis:
    def change(module: Any) -> None:
        module.__dict__["forward"] = lambda x, output_size=None: found.output(module, x)

    return Hypothesis("padding", _detail(suspect, found), _remedy(suspect, found), module=change)


def _detail(suspect: Suspect, found: Cut) -> str:
    module: Any = suspect.module
    layer = suspect.layer
    now = {name: (getattr(module, name), getattr(found, name)) for name in ("stride", "dilation")}
    said = [f"{layer}.{name} is {ours}, the original's {theirs}" for name, (ours, theirs) in now.items() if ours != theirs]
    original = f"the original {by_axis(found.ends)}{_as_same(module, found)}"
    own = _own(suspect)
    if own is None:
        said.append(f"{original} is what is cut from the full output of {layer}, (start, end)")
    elif own != found.ends:
        said.append(f"the port cuts the full output of {layer} by {by_axis(own)} (start, end), {original}")
    return "; ".join(said)


def _own(suspect: Suspect) -> Pads | None:
    """What the port cuts: as its attributes say, or by what it gave where its code is not PyTorch's."""
    module: Any = suspect.module
    if type(module).forward in (nn.ConvTranspose1d.forward, nn.ConvTranspose2d.forward, nn.ConvTranspose3d.forward):
        return tuple((p, p - o) for p, o in zip(module.padding, module.output_padding, strict=True))
    cut = _fitted(module, suspect.args[0], suspect.given, module.stride, module.dilation)
    return None if cut is None else cut.ends


def _as_same(module: Any, found: Cut) -> str:
    total = [(k - 1) * d + 1 - s for k, s, d in zip(module.kernel_size, found.stride, found.dilation, strict=True)]
    same = tuple((t // 2, t - t // 2) if t > 0 else (0, t) for t in total)
    return " (TensorFlow's SAME)" if found.ends == same else ""


def _remedy(suspect: Suspect, found: Cut) -> str:
    module: Any = suspect.module
    said = [f"set {name} to {getattr(found, name)}" for name in ("stride", "dilation") if getattr(module, name) != getattr(found, name)]
    facts = list(zip(found.ends, found.stride, strict=True))
    if all(a >= 0 and 0 <= a - b < s for (a, b), s in facts):
        said.append(f"set padding to {tuple(a for a, _ in found.ends)} and output_padding to {tuple(a - b for a, b in found.ends)}")
    else:
        cuts = ", ".join(f"{max(a, 0)}:{max(a, 0) + out}" for (a, _), out in zip(found.ends, suspect.expected.shape[2:], strict=True))
        extra = tuple(max(-b, 0) for _, b in found.ends)
        said.append(f"set padding to 0 and output_padding to {extra if any(extra) else 0}, and cut what it gives: y[..., {cuts}]")
    return ", and ".join(said)
