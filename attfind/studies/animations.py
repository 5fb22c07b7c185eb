"""What a participant sees of an attribute: the images where its effect is largest, flickering between original and changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from stylexport.attfind.counterfactual import targets
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.model import layer_of
from stylexport.attfind.select.attributes import Attribute
from stylexport.common.errors import BadInput
from stylexport.common.types import Array

MOST = 6  # attributes in a study by default


@dataclass(frozen=True)
class Change:
    """A coordinate that goes to its minimum (`direction` 0) or its maximum (1), and the class that becomes more likely, if one is known."""

    direction: int
    coordinate: int
    layer: str
    channel: int
    target: int | None

    @property
    def facts(self) -> dict[str, Any]:
        """Its fields, for a key."""
        return asdict(self)

    @property
    def reversed(self) -> Change:
        """The same coordinate's other direction, which need not make another class more likely."""
        return Change(1 - self.direction, self.coordinate, self.layer, self.channel, None)


def changes(attributes: Iterable[Attribute], first: int | None) -> tuple[Change, ...]:
    """The changes of the first attributes: `first` of them, by default six or all. Raises BadInput where there are fewer than `first`."""
    found = [Change(a.direction, a.coordinate, a.layer, a.channel, a.target) for a in attributes]
    if len(found) < (first or 1):
        raise BadInput(f"{len(found)} attributes are selected, not {first or 1}; ask for fewer by --attributes, or select more")
    return tuple(found[: first or MOST])


def best_images(effects: Effects, change: Change, most: int, least: int) -> tuple[int, ...]:
    """The `most` measured images where a change has the largest effect, or as many as there are.

    With a target they are of other classes, and its logit rises most; without one any logit moves most. Raises BadInput where there are
    fewer than `least`.
    """
    there = effects.measured[:, change.direction, change.coordinate]
    images = np.flatnonzero(there if change.target is None else there & (effects.classes != change.target))
    if len(images) < least:
        place = f"coordinate {change.coordinate} to its {('minimum', 'maximum')[change.direction]}"
        kind = "" if change.target is None else " of another class than its target"
        remedy = "search exhaustively, or select by --target-class" if "screening" in effects.about else "measure more"
        raise BadInput(
            f"this study needs {least} images{kind} where {place} was measured, and the run has {len(images)}; "
            f"{remedy}, or show fewer --examples"
        )
    moved = effects.effects[images, change.direction, change.coordinate]  # [N, L]
    gain = np.abs(moved).max(1) if change.target is None else moved[:, change.target]
    return tuple(int(i) for i in images[np.argsort(-gain, kind="stable")[:most]])


class Gallery:
    """Images of a run and of their changes, each rendered once.

    `pictures` are [3, R, R] in [-1, 1], in the order in which they were first asked for.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.pictures: list[Array] = []
        self._numbers: dict[tuple[int, ...], int] = {}

    def animation(self, image: int, change: Change) -> tuple[int, int]:
        """The numbers of two pictures: an image's reconstruction, and the same with the change's coordinate moved."""
        before, after = (image,), (image, change.direction, change.coordinate)
        with torch.no_grad():
            if before not in self._numbers:
                self._add(before, self.subject.model.decode(self._latent(image)[None]))
            if after not in self._numbers:
                self._add(after, self._changed(*after))
        return self._numbers[before], self._numbers[after]

    def _latent(self, image: int) -> torch.Tensor:
        return torch.from_numpy(self.subject.effects.latents[image]).to(self.subject.model.device)

    def _changed(self, image: int, direction: int, coordinate: int) -> torch.Tensor:
        model, found = self.subject.model, self.subject.effects
        value = targets(found.styles[image], self.subject.shift, found.style_min, found.style_max)[direction, coordinate]
        editor = model.editor(self._latent(image))
        return editor.change(layer_of(model.layers, coordinate), [coordinate], torch.from_numpy(value[None]).to(model.device))

    def _add(self, key: tuple[int, ...], images: torch.Tensor) -> None:
        low, high = self.subject.model.image_range
        self._numbers[key] = len(self.pictures)
        self.pictures.append(((images[0].float().cpu().numpy() - low) / (high - low) * 2 - 1).astype(np.float32))
