"""What a pass of a layer cannot show, because its weights would pass a mistake: zeros, ones, symmetric kernels, too few samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from stylexport.parity.verdict import EXACT
from stylexport.torch_models.layers.mbstd import MinibatchStd

SYMMETRIC = 1e-6  # relative distance to its own mirror image under which a tensor is symmetric
LIMIT = 6.0  # relu6's

# What leaves a kernel [O, I, kh, kw] as it is, and what is then not seen. Kernels of 1x1 have no direction to mistake.
MIRRORS: tuple[tuple[Callable[[Tensor], Tensor], str], ...] = (
    (lambda t: t.flip(2, 3), "{} is symmetric when flipped: a flipped kernel is not seen"),
    (lambda t: t.transpose(2, 3), "{} is symmetric in height and width: the two swapped are not seen"),
)


def vacuous(module: nn.Module, samples: int | None = None) -> tuple[str, ...]:
    """What these weights cannot show of a layer, one sentence each; empty where they show everything.

    `module` is the layer's own (children with a judgement of their own are left out), `samples` how many the network was run on, which
    decides whether a minibatch standard deviation had several groups.
    """
    found = list(_tensors(module))
    if hasattr(module, "running_var"):
        found += _statistics(module)
    if isinstance(module, MinibatchStd) and module.group and samples is not None and samples // module.size(samples) < 2:
        found.append(f"{samples} samples are one group: how samples are grouped is not seen")
    return tuple(found)


def vacuous_values(module: nn.Module, value: Tensor) -> tuple[str, ...]:
    """What the values that an activation gave cannot show of it."""
    if isinstance(module, nn.ReLU6) and not bool((value >= LIMIT).any()):
        return (f"no value reaches {LIMIT:g}: a relu in its place is not seen",)
    if type(module) is nn.ReLU and not bool((value >= LIMIT).any()):
        return (f"no value exceeds {LIMIT:g}: a relu6 in its place is not seen",)
    return ()


def _tensors(module: nn.Module) -> Iterator[str]:
    """What each tensor of the module by itself does not show."""
    for name, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        value = value.detach()
        if not value.is_floating_point() or name in ("running_mean", "running_var", "kernel"):
            continue
        if name == "noise_strength":
            if not value.any():
                yield "noise_strength is zero: the noise is not seen"
        elif not value.any():
            yield f"{name} is all zeros"
        elif value.numel() > 1 and bool((value == value.flatten()[0]).all()) and not hasattr(module, "running_var"):
            yield f"{name} is {float(value.flatten()[0]):g} everywhere: an order is not seen"
        else:
            yield from _symmetries(name, value)


def _symmetries(name: str, value: Tensor) -> Iterator[str]:
    """The mistakes that a tensor's own symmetry hides."""
    if value.ndim == 4 and value.shape[2] * value.shape[3] > 1:
        yield from (words.format(name) for mirror, words in MIRRORS if _same(mirror(value), value))
    if value.ndim in (2, 4) and value.shape[0] == value.shape[1] > 1 and _same(value.transpose(0, 1), value):
        axes = "height and width" if name == "noise_const" else "inputs and outputs"
        yield f"{name} is symmetric in {axes}: the two swapped are not seen"


def _statistics(module: nn.Module) -> Iterator[str]:
    """What a BatchNorm's statistics and affine do not show."""
    mean, variance = module.running_mean, module.running_var
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        return
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if not mean.any():
        yield "running_mean is all zeros"
    if bool((variance == 1).all()):
        yield "running_var is one everywhere"
    if isinstance(weight, Tensor) and bool((weight == 1).all()):
        yield "weight is one everywhere: the scale is not seen"
    if isinstance(weight, Tensor) and isinstance(bias, Tensor) and _same(weight, bias):
        yield "weight and bias are equal: the two swapped are not seen"
    epsilon = getattr(module, "epsilon", getattr(module, "eps", 0.0))
    if epsilon and bool((epsilon / variance.double().abs().clamp_min(1e-300) < EXACT).all()):
        yield f"running_var is so large that an epsilon of {epsilon:g} is not seen"


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool(torch.linalg.vector_norm((one - other).double()) <= SYMMETRIC * torch.linalg.vector_norm(other.double()))
