"""A user's own module, run in float64 whatever its code asks for, and with its errors told as the user's.

The proof computes in float64, as it replays the original's graph with every floating-point type wide. A user's code may say `x.float()`,
`dtype=torch.float16` or `mask / 2` (an integer's quotient has PyTorch's default type): within `in_float64` each of these means float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stylexport.common.errors import BadInput, StylexportError

HALF = frozenset((torch.float16, torch.bfloat16))
_NARROW = HALF | {torch.float32}
_CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)
_NAMES = {"torch.FloatTensor": "torch.DoubleTensor", "torch.HalfTensor": "torch.DoubleTensor"}
_OURS = "_stylexport_own"  # marks an exception that code of this project raised while a user's module ran


class _InFloat64(TorchFunctionMode):
    """Every type that is asked for, and is narrower, is float64; not while `paused`. `usual` is the default type outside."""

    def __init__(self, usual: torch.dtype) -> None:
        super().__init__()
        self.usual, self.paused = usual, False

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if self.paused:
            return func(*args, **(kwargs or {}))
        named = {name: _wide(value) for name, value in (kwargs or {}).items()}
        return (Tensor.double if func in _CASTS else func)(*map(_wide, args), **named)


_active: list[_InFloat64] = []


def _wide(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float64 if value in _NARROW else value
    return _NAMES.get(value, value) if isinstance(value, str) else value


@contextlib.contextmanager
def in_float64(module: nn.Module, given: Sequence[Any]) -> Iterator[None]:
    """The block computes in float64 throughout, where the module or what it is given is in float64; else it is as it is.

    Example:
        >>> x = torch.ones(2, dtype=torch.float64)
        >>> with in_float64(nn.Identity(), [x]):
        ...     (x.float() / 3).dtype, torch.zeros(2, dtype=torch.float16).dtype, (torch.arange(2) / 2).dtype
        (torch.float64, torch.float64, torch.float64)

    """
    held = [*module.state_dict().values(), *(value for value in given if isinstance(value, Tensor))]
    if not any(tensor.dtype == torch.float64 for tensor in held):
        yield
        return
    usual = torch.get_default_dtype()
    mode = _InFloat64(usual)
    torch.set_default_dtype(torch.float64)
    _active.append(mode)
    try:
        with mode:
            yield
    finally:
        _active.pop()
        torch.set_default_dtype(usual)


@contextlib.contextmanager
def own_code() -> Iterator[None]:
    """The block is this project's code, called from within a user's module: types mean what they say, and errors are ours."""
    before, default = [mode.paused for mode in _active], torch.get_default_dtype()
    for mode in _active:
        mode.paused = True
    if _active:
        torch.set_default_dtype(_active[0].usual)
    try:
        yield
    except Exception as error:
        setattr(error, _OURS, True)
        raise
    finally:
        torch.set_default_dtype(default)
        for mode, paused in zip(_active, before, strict=True):
            mode.paused = paused


@contextlib.contextmanager
def told_as_the_users() -> Iterator[None]:
    """What a user's module raises in the block becomes BadInput, unless this project's code raised it."""
    try:
        yield
    except StylexportError:
        raise
    except (Exception, SystemExit) as error:
        if getattr(error, _OURS, False):
            raise
        remedy = "the proof runs it in float64 too: let its constants be buffers, or take the input's dtype"
        raise BadInput(f"the module raised {type(error).__name__}: {' '.join(str(error).split())}; {remedy}") from error


def as_it_takes(module: nn.Module, values: Sequence[Tensor]) -> list[Tensor]:
    """Inputs in 16 bits for a module that is all in 16 bits; any others as they are."""
    dtypes = {tensor.dtype for tensor in module.state_dict().values() if tensor.is_floating_point()}
    half = next(iter(dtypes)) if len(dtypes) == 1 and dtypes <= HALF else None
    return [value.to(half) if half and value.is_floating_point() else value for value in values]
