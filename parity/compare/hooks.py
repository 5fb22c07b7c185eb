"""Running a port with hooks on its layers: each layer's value is handed to a function, which may replace it."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.parity.ports import Site, tensors
from stylexport.parity.user_code import own_code


@dataclass(frozen=True)
class Capture:
    """A layer's value in a forward pass, with the module that was called and what it was called with."""

    site: Site
    value: Tensor
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


OnCapture = Callable[[Capture], Tensor | None]
MARK = "_parity_hook"  # marks a hook of this room


@contextlib.contextmanager
def capturing(module: nn.Module, sites: Iterable[Site], on_capture: OnCapture, trim: bool = False) -> Iterator[None]:
    """Calls `on_capture` for every site when its module has run; a tensor that it returns replaces the value.

    With `trim`, the inputs of a module that holds no other site are cut to the fewest rows among them: where recorded values replace
    the port's, a large layer's have fewer samples than a small one's.
    """
    by_module: dict[str, list[Site]] = {}
    for site in sites:
        by_module.setdefault(site.module, []).append(site)
    handles = []
    for path, own in by_module.items():
        target = module.get_submodule(path)
        handles.append(target.register_forward_hook(_hook(own, on_capture), with_kwargs=True))
        if trim and not any(other.startswith(f"{path}.") for other in by_module):
            handles.append(target.register_forward_pre_hook(_trim, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(sites: list[Site], on_capture: OnCapture) -> Any:
    calls = itertools.count()

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        number = next(calls)
        with own_code():
            for site in sites:
                value = site.get(output) if site.call in (None, number) else None
                if isinstance(value, Tensor) and value.ndim:
                    other = on_capture(Capture(site, value, module, args, kwargs))
                    output = output if other is None else site.put(output, other)
        return output

    setattr(hook, MARK, True)
    return hook


def _trim(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    rows = min(rows_in((args, kwargs)), default=None)
    return (args, kwargs) if rows is None else (_cut(args, rows), _cut(kwargs, rows))


def rows_in(value: Any) -> list[int]:
    """The length of every batch in nested arguments."""
    return [tensor.shape[0] for tensor in tensors(value) if tensor.ndim > 1]


def _cut(value: Any, rows: int) -> Any:
    if isinstance(value, Tensor):
        return value[:rows] if value.ndim > 1 and value.shape[0] > rows else value
    if isinstance(value, dict):
        return {name: _cut(item, rows) for name, item in value.items()}
    if hasattr(value, "_fields"):
        return type(value)(*(_cut(item, rows) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_cut(item, rows) for item in value)
    return value


class Stub(nn.Module):
    """Stands for a layer and returns values that are known, the original's: of a layer that runs more than once, one after another."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__()
        for i, value in enumerate(values):
            self.register_buffer(str(i), value)
        self._ran = 0
        self.eval()

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """A copy of the next value, because some layers work in place."""
        values = list(self.buffers())
        self._ran += 1
        return values[(self._ran - 1) % len(values)].clone()


def stubbed(module: nn.Module, values: Mapping[str, Sequence[Tensor]]) -> nn.Module:
    """A copy of `module` without this room's hooks, whose children at the paths of `values` are stubs."""
    kept = {path: module.get_submodule(path) for path in values}
    for path, known in values.items():
        _set(module, path, Stub(*known))
    try:
        copied = copy.deepcopy(module)
    finally:
        for path, child in kept.items():
            _set(module, path, child)
    for part in copied.modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            for number in [number for number, hook in hooks.items() if getattr(hook, MARK, False) or hook is _trim]:
                del hooks[number]
    return copied


def gives_with(capture: Capture, weights: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """What a layer's module gives with other weights in it; nothing where it cannot hold them."""
    module = stubbed(capture.module, {})
    own = module.state_dict()
    if weights and all(name in own and own[name].shape == value.shape for name, value in weights.items()):
        module.load_state_dict(dict(weights), strict=False)
        if isinstance(value := capture.site.get(module(*capture.args, **capture.kwargs)), Tensor):
            yield value[: len(capture.value)]


def _set(module: nn.Module, path: str, child: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    module.get_submodule(parent)._modules[name] = child


@contextlib.contextmanager
def precision_of(precision: str, device: torch.device) -> Iterator[None]:
    """Runs float32 networks in a precision: fp32 with TF32 off, tf32, or 16 bits by autocast."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    try:
        with torch.autocast(device.type, half) if half else contextlib.nullcontext():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn
