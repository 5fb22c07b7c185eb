"""What a selection may be asked, and the numbers that it goes by: the authors' (their notebook), where a user names no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stylexport.attfind.effects.effects import Effects
from stylexport.common.errors import BadInput
from stylexport.common.types import Array

Strategy = Literal["global", "image-fraction", "independent", "subset"]
STRATEGIES: tuple[Strategy, ...] = ("global", "image-fraction", "independent", "subset")
OF_ONE_IMAGE = ("independent", "subset")
COMBINED, ONE_AGAINST_ALL = 1.0, 0.5  # the authors' thresholds T of `global`
# (image, coordinate, direction, shift) -> how much the discriminator's score changes
Discriminator = Callable[[int, int, int, float], float]
# (image, styles [B, S]) -> the classifier's logits [B, L] of the images that they make
LogitsOfStyles = Callable[[int, Array], Array]


@dataclass(frozen=True)
class Rules:
    """The selections' numbers, by default the authors' (their notebook; `candidates` is this project's). docs/attfind.md explains each.

    Example:
        >>> Rules(threshold=5).origin("threshold"), Rules().origin("effect")
        ('chosen', 'the authors')

    """

    threshold: float | None = None
    unstable_above: float = 2.0
    unstable_entries: int = 750
    effect: float = 0.2
    fraction: float = 0.03
    discriminator_images: int = 10
    discriminator_shift: float = 2.0
    discriminator_change: float = 0.2
    candidates: int = 64

    def origin(self, name: str) -> str:
        """Where a number comes from: "the authors", "this project", or "chosen"."""
        if getattr(self, name) != getattr(AUTHORS, name):
            return "chosen"
        return "this project" if name == "candidates" else "the authors"


AUTHORS = Rules()


def check_question(effects: Effects, target: int | None, top: int, strategy: str, image: int | None) -> None:
    """Raises BadInput where the question does not fit the run."""
    count, _, size, labels = effects.effects.shape
    if strategy not in STRATEGIES:
        raise BadInput(f"strategy {strategy!r} is not one of {', '.join(STRATEGIES)}")
    if top < 1:
        raise BadInput(f"top {top}: at least one attribute must be asked for")
    if labels < 2 or not size:
        raise BadInput(f"the run has {size} coordinates and {labels} labels; a selection needs at least one coordinate and two labels")
    if target is not None and not 0 <= target < labels:
        raise BadInput(f"target class {target}: the run's classes are 0 to {labels - 1}")
    if not effects.done.any():
        raise BadInput("no image of this run is measured yet; run `stylexport attfind effects` first")
    if strategy in OF_ONE_IMAGE and image is None:
        raise BadInput(f"strategy {strategy} is about one image: name it")
    if strategy not in OF_ONE_IMAGE and image is not None:
        raise BadInput(f"strategy {strategy} is about all images; {' and '.join(OF_ONE_IMAGE)} are about one")
    if image is not None and not (0 <= image < count and effects.done[image]):
        raise BadInput(f"image {image}: the run has images 0 to {count - 1}, of which {int(effects.done.sum())} are measured")
    if not np.isfinite(effects.base_logits).all() or not np.isfinite(effects.effects).all():
        raise BadInput("the run holds effects that are not finite; measure them in a higher precision")


def parameters(
    rules: Rules, strategy: Strategy, top: int, combined: bool, *, discriminator: bool, rendered: bool
) -> dict[str, tuple[Any, str]]:
    """The numbers that a selection goes by, and where each comes from. `combined`: of two classes together; `rendered`: asks the model."""
    names = {
        "global": ("threshold",),
        "image-fraction": ("effect", "fraction"),
        "independent": (),
        "subset": ("candidates",) if rendered else (),
    }[strategy]
    names += ("unstable_above", "unstable_entries")
    if discriminator:
        names += ("effect", "discriminator_images", "discriminator_shift", "discriminator_change")
    values = {name: (value, rules.origin(name)) for name in dict.fromkeys(names) if (value := getattr(rules, name)) is not None}
    if "threshold" in names and "threshold" not in values:
        values["threshold"] = (COMBINED, "the authors, combined") if combined else (ONE_AGAINST_ALL, "the authors, one against all")
    return {"top": (top, "chosen"), **values}
