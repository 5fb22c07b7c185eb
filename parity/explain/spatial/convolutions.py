"""The padding, stride and dilation with which a convolution gives what the original gave: computed, not guessed.

A convolution of stride 1 over a wide border holds every padding at once: where the original's output lies in it says how much was padded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from stylexport.parity.difference import finite_error
from stylexport.parity.explain.formulas import same_zeros
from stylexport.parity.explain.hypotheses.hypothesis import IMPOSSIBLE, Arguments, Hypothesis
from stylexport.parity.explain.spatial.borders import MODES, Border, Pads, as_call, borders, by_axis, by_side, no_pads, padded
from stylexport.parity.explain.suspect import Suspect
from stylexport.parity.verdict import EXACT
from stylexport.parity.windows import nearest_window

CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
STRIDES, DILATIONS = (1, 2, 3, 4), (1, 2, 3, 4)


@dataclass(frozen=True)
class Laid:
    """How a convolution is laid over its input: after `border` was taken off, with `pads` of `mode` put on."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    border: Border
    pads: Pads
    mode: str = "zeros"

    def input(self, x: Tensor) -> Tensor:
        """What a convolution without padding takes, from what the port's convolution took."""
        return padded(self.border.inside(x), self.pads, self.mode)


def is_convolution(module: nn.Module) -> bool:
    """Whether a module is PyTorch's convolution in one, two or three axes, or made from it; a transposed one is not."""
    return isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd)


def convolution_hypotheses(suspect: Suspect) -> Iterator[Hypothesis]:
    """Padding, stride or dilation put right, where there are any that give the original's output."""
    module: Any = suspect.module
    if not is_convolution(module) or not suspect.args or not isinstance(suspect.args[0], Tensor):
        return
    x, weight = suspect.args[0], module.weight
    if x.ndim != weight.ndim or suspect.expected.ndim != x.ndim or suspect.expected.shape[1] != len(weight):
        return
    for laid in _ways(x, weight, module.stride, module.dilation):
        if (found := _fitted(module, x, suspect.expected, laid)) is not None:
            yield _hypothesis(suspect, found)
            return


def _ways(x: Tensor, weight: Tensor, stride: tuple[int, ...], dilation: tuple[int, ...]) -> Iterator[Laid]:
    """What may have been meant, the nearest to the port first; how much is padded is found later."""
    axes = x.ndim - 2
    reach = [(k - 1) * d for k, d in zip(weight.shape[2:], dilation, strict=True)]
    found = list(borders(x, [max(r, 1) for r in reach]))
    own = [Laid(stride, dilation, border, no_pads(axes)) for border in found]
    yield from own
    yield from (replace(laid, mode=mode) for mode in MODES if mode != "zeros" for laid in own)
    others = itertools.product(STRIDES, DILATIONS)
    for s, d in sorted(others, key=lambda pair: ((pair[0],) * axes != stride) + ((pair[1],) * axes != dilation)):
        if ((s,) * axes, (d,) * axes) != (stride, dilation):
            yield from (Laid((s,) * axes, (d,) * axes, border, no_pads(axes)) for border in found)


def _fitted(module: Any, x: Tensor, wanted: Tensor, laid: Laid) -> Laid | None:
    """With the padding that gives `wanted`; None where none does."""
    inner, weight = laid.border.inside(x[:1]), module.weight
    reach = [(k - 1) * d for k, d in zip(weight.shape[2:], laid.dilation, strict=True)]
    if laid.mode != "zeros" and not any(reach):
        return None
    sizes = inner.shape[2:]
    wide = [r if laid.mode == "zeros" else min(r, n - (laid.mode == "reflect")) for r, n in zip(reach, sizes, strict=True)]
    try:
        around = padded(inner, tuple((w, w) for w in wide), laid.mode)
        dense = CONVOLUTIONS[x.ndim](around, weight, module.bias, 1, 0, laid.dilation, module.groups)
        window = nearest_window(dense, wanted[:1], laid.stride)
    except IMPOSSIBLE:
        return None
    if window is None or not finite_error(window.of(dense), wanted[:1]) <= EXACT:
        return None
    pads = []
    for n, out, s, r, w, start in zip(sizes, wanted.shape[2:], laid.stride, reach, wide, window.start, strict=True):
        before = w - start
        pads.append((before, max((out - 1) * s + r + 1 - n - before, 0)))
    return replace(laid, pads=tuple(pads))


def _hypothesis(suspect: Suspect, found: Laid) -> Hypothesis:
    def change(module: Any) -> None:
        weight, bias, groups = module.weight, module.bias, module.groups
        convolve = CONVOLUTIONS[weight.ndim]
        module.__dict__["forward"] = lambda x: convolve(x, weight, bias, found.stride, 0, found.dilation, groups)

    def arguments(args: Arguments) -> Arguments:
        return (found.input(args[0]), *args[1:])

    return Hypothesis("padding", _detail(suspect, found), _remedy(suspect, found), module=change, arguments=arguments)


def _own(suspect: Suspect, found: Laid) -> Laid | None:
    """How the port lays it: as its attributes say, or by what it gave where its code is not PyTorch's."""
    module: Any = suspect.module
    border = found.border
    if type(module).forward not in (nn.Conv1d.forward, nn.Conv2d.forward, nn.Conv3d.forward):
        return _fitted(module, suspect.args[0], suspect.given, Laid(module.stride, module.dilation, border, found.pads))
    inside = padding_of(module)
    pads = tuple((a + c, b + d) for (a, b), (c, d) in zip(border.pads, inside, strict=True))
    mode = border.mode if any(map(any, border.pads)) else module.padding_mode
    return Laid(module.stride, module.dilation, border, pads, mode)


def padding_of(module: Any) -> Pads:
    """What a convolution of PyTorch pads by itself, "same" and "valid" in numbers."""
    if module.padding == "same":
        reach = [(k - 1) * d for k, d in zip(module.kernel_size, module.dilation, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    return no_pads(len(module.kernel_size)) if module.padding == "valid" else tuple((p, p) for p in module.padding)


def _detail(suspect: Suspect, found: Laid) -> str:
    layer, own = suspect.layer, _own(suspect, found)
    same = _as_same(suspect, found)
    if own is None:
        return f"{layer}: the original pads its input by {by_axis(found.pads)}{same}"
    said = []
    for name, now, right in (("stride", own.stride, found.stride), ("dilation", own.dilation, found.dilation)):
        if now != right:
            said.append(f"{layer}.{name} is {now}, the original's {right}")
    if own.pads != found.pads:
        said.append(
            f"the port pads the input of {layer} by {by_axis(own.pads)} (before, after), the original by {by_axis(found.pads)}{same}"
        )
    if own.mode != found.mode:
        said.append(f"the port pads it with {MODES[own.mode]}, the original with {MODES[found.mode]}")
    return (
        "; ".join(said) or f"the port lays the kernel of {layer} otherwise over its input; the original pads by {by_axis(found.pads)}{same}"
    )


def _as_same(suspect: Suspect, found: Laid) -> str:
    module: Any = suspect.module
    sizes = found.border.inside(suspect.args[0]).shape[2:]
    facts = zip(sizes, module.weight.shape[2:], found.stride, found.dilation, strict=True)
    same = found.mode == "zeros" and found.pads == tuple(same_zeros(*fact) for fact in facts)
    return " (TensorFlow's SAME)" if same and any(map(any, found.pads)) else ""


def _remedy(suspect: Suspect, found: Laid) -> str:
    module: Any = suspect.module
    said = []
    for name, now, right in (("stride", module.stride, found.stride), ("dilation", module.dilation, found.dilation)):
        if now != right:
            said.append(f"set {name} to {right}")
    if all(a == b >= 0 for a, b in found.pads) and found.mode != "symmetric":
        width = tuple(a for a, _ in found.pads)
        mode = "" if found.mode == "zeros" else f" with padding_mode={found.mode!r}"
        said.append(f"pad once, by padding={width[0] if len(set(width)) == 1 else width}{mode} in the convolution")
    else:
        said.append(f"pad {by_side(found.pads)}: {as_call(found.pads, found.mode)} before a convolution with padding=0")
    return ", and ".join(said)
