"""A layer whose own judgement failed, ready to be experimented on: `stylexport.parity.explain.search` tries causes on it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stylexport.parity.difference import finite_error
from stylexport.parity.result import Fault
from stylexport.parity.verdict import EXACT
from stylexport.parity.windows import Window, nearest_window


@dataclass(frozen=True)
class Source:
    """A value that the port's code had before a layer: that of `layer`, as the port was given it and as the original has it.

    The two differ where the port has more of it than the original, and cuts it later (or less): `window` is then where they agree.
    """

    layer: str
    handed: Tensor
    exact: Tensor
    window: Window | None = None


@dataclass(frozen=True)
class Suspect:
    """A layer alone, in float64, with the original's own inputs.

    `module` is the layer's module (a copy; children that have a judgement of their own are stubs that return the original's values).
    `call(module, args, kwargs)` gives the layer's output as it is judged, for a changed module or changed arguments (of style layers it
    adds the one). `expected` is the original's output, `given` what the port gave in the forward pass (its code may do otherwise than
    `call`). `weights` are the original's variables of this layer, float64, by their names in `module` ("weight", "bias", ...); `config`
    is the network's configuration as read from the original, `own` the port's (both JSON values, None for a user's own network).
    `sources` are values that the port had before, the latest first. `cropped`: the port may cut the output later.
    `allowed` is what the output may be off by, and what an explanation may leave.
    """

    network: str
    layer: str
    module: nn.Module
    call: Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any]], Tensor]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    expected: Tensor
    given: Tensor
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    own: Mapping[str, Any] | None = None
    stage: str = "parameters"
    sources: tuple[Source, ...] = ()
    cropped: bool = False
    allowed: float = EXACT

    def output(self, change: Callable[[nn.Module], None] | None = None, args: tuple[Any, ...] | None = None) -> Tensor:
        """The layer's output after `change` was made to a copy of its module, or with other arguments."""
        module = self.module
        if change is not None:
            module = copy.deepcopy(module)
            with torch.no_grad():
                change(module)
        with torch.no_grad():
            return self.call(module, self.args if args is None else args, self.kwargs)

    def error(self, output: Tensor) -> float:
        """|output - expected| / |expected|; infinite where the shapes differ or a value is not finite.

        Of an output that is cut later, the part that is nearest.
        """
        if self.cropped and output.shape != self.expected.shape and (window := nearest_window(output, self.expected)) is not None:
            output = window.of(output)
        return finite_error(output, self.expected)


Explain = Callable[[Suspect], Fault]
