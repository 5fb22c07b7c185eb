"""One experiment on a suspect layer, and two of them together."""

from __future__ import annotations

import re
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stylexport.parity.explain.causes import CAUSES, ORDER
from stylexport.parity.explain.suspect import Suspect
from stylexport.torch_models.layers.equalized import Conv
from stylexport.torch_models.mobilenet import PaddedConv

Arguments = tuple[Any, ...]
# How a hypothesis came about: the original's files show it, it is a common mistake, or its number was fitted to the activations.
SEEN, SUPPOSED, FITTED = range(3)
# What a module, a kernel or a solver raises when an experiment does not fit it.
ROOM = Path(__file__).resolve().parents[2]
CALLED_WRONG = re.compile(r"missing \d+ required|unexpected keyword argument|takes .* positional argument|multiple values for")
IMPOSSIBLE = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError, AssertionError)


@dataclass(frozen=True)
class Hypothesis:
    """One thing put right: in the module, in its arguments, or in its result.

    `detail` says which tensor, constant or element, `remedy` what to do (the cause's own where empty). `replaces` marks a hypothesis that
    takes the original's tensors whole: it is always right about them, so it rivals no other.
    """

    cause: str
    detail: str
    remedy: str = ""
    evidence: int = SUPPOSED
    module: Callable[[nn.Module], None] | None = None
    arguments: Callable[[Arguments], Arguments] | None = None
    result: Callable[[Tensor], Tensor] | None = None
    replaces: bool = False

    @property
    def advice(self) -> str:
        """What to do, in words."""
        return self.remedy or CAUSES[self.cause].remedy

    @property
    def rank(self) -> tuple[int, int]:
        """Sorts what the files show before what is supposed, and the specific before the general."""
        return self.evidence, ORDER[self.cause]

    def output(self, suspect: Suspect) -> Tensor:
        """What the layer gives with this put right. Raises whatever the module raises."""
        arguments = None if self.arguments is None else self.arguments(suspect.args)
        result = suspect.output(self.module, arguments)
        return result if self.result is None else self.result(result)

    def residual(self, suspect: Suspect) -> float:
        """The relative error that is left; infinite where the experiment does not fit the layer."""
        try:
            return suspect.error(self.output(suspect))
        except IMPOSSIBLE as error:
            tell_own_mistake(error)
            return float("inf")


class OwnMistake(RuntimeWarning):
    """A mistake of this room's in an experiment. The verdict does not depend on it; the tests do."""


def tell_own_mistake(error: BaseException) -> None:
    """Warns of an error that no module, kernel or solver raised because an experiment does not fit it, but this room's own code.

    That is an attribute that something other than a module or a tensor lacks, or a call with other arguments than a function takes, both
    in a line of this room.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames or not Path(frames[-1].filename).resolve().is_relative_to(ROOM):
        return
    if isinstance(error, AttributeError):
        ours = not isinstance(error.obj, nn.Module | Tensor)
    else:
        ours = isinstance(error, TypeError) and CALLED_WRONG.search(str(error)) is not None
    if ours:
        place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}"
        said = f"an experiment failed by a mistake of StylExport's ({place}: {error}); the verdict stands, but please report it"
        warnings.warn(OwnMistake(said), stacklevel=2)


def together(first: Hypothesis, second: Hypothesis) -> Hypothesis:
    """Both at once, under the name of the first."""
    return Hypothesis(
        first.cause,
        f"{first.detail}; and ({second.cause}) {second.detail}" if second.cause != first.cause else f"{first.detail}; {second.detail}",
        f"{first.advice}; {second.advice}" if second.advice != first.advice else first.advice,
        max(first.evidence, second.evidence),
        _after(first.module, second.module),
        _chained(first.arguments, second.arguments),
        _chained(first.result, second.result),
        first.replaces or second.replaces,
    )


def setting(config: Mapping[str, Any] | None, name: str) -> Any:
    """A field of a configuration; None where there is no configuration or no such field."""
    return None if config is None else config.get(name)


def is_image(suspect: Suspect) -> bool:
    """Whether the layer's first argument is the network's image: it has an image's channels and meets a convolution, here the first."""
    convolution = isinstance(suspect.module, nn.Conv2d | PaddedConv | Conv)
    if not convolution or not suspect.args or not isinstance(suspect.args[0], Tensor):
        return False
    if suspect.config is None:
        return suspect.args[0].ndim == 4 and suspect.args[0].shape[1] in (1, 3)
    return suspect.layer.startswith("conv0.") or suspect.layer.endswith(".fromrgb")


def number(value: Any) -> str:
    """A constant as a reader writes it."""
    if isinstance(value, tuple):
        return f"({', '.join(map(number, value))})"
    return f"{value:.7g}" if isinstance(value, float) else "none" if value is None else str(value)


def _chained(first: Callable[[Any], Any] | None, second: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    if first is None or second is None:
        return first or second
    return lambda value: second(first(value))


def _after(first: Callable[[nn.Module], None] | None, second: Callable[[nn.Module], None] | None) -> Callable[[nn.Module], None] | None:
    if first is None or second is None:
        return first or second

    def both(module: nn.Module) -> None:
        first(module)
        second(module)

    return both
