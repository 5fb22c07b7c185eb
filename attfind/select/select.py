"""Selecting attributes from effects: the strategies of Lang et al. 2021, section 3.3, with the authors' numbers (docs/attfind.md).

    find_attributes(Effects.load("run"), top=8)              both classes together, as in the paper's figures
    find_attributes(effects, 1, strategy="image-fraction")   towards class 1

Pure numpy; what needs a network is asked of functions that stylexport.attfind.select.network_checks makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np

from stylexport.attfind.effects.run_store import Effects
from stylexport.attfind.select import strategies
from stylexport.attfind.select.attributes import Attribute, Selection
from stylexport.common.errors import BadInput
from stylexport.common.types import Array

Strategy = Literal["global", "image-fraction", "independent", "subset"]
STRATEGIES: tuple[Strategy, ...] = ("global", "image-fraction", "independent", "subset")
OF_ONE_IMAGE = ("independent", "subset")
# (image, coordinate, direction, shift) -> how much the discriminator's score changes
Discriminator = Callable[[int, int, int, float], float]
# (image, styles [B, S]) -> the classifier's logits [B, L] of the images that they make
Logits = Callable[[int, Array], Array]


@dataclass(frozen=True)
class Rules:
    """The selections' numbers, by default the authors' (their notebook; `candidates` is this project's)."""

    threshold: float | None = None
    unstable_above: float = 2.0
    unstable_entries: int = 750
    effect: float = 0.2
    fraction: float = 0.03
    discriminator_images: int = 10
    discriminator_shift: float = 2.0
    discriminator_change: float = 0.2
    candidates: int = 64


COMBINED, ONE_AGAINST_ALL = 1.0, 0.5  # the authors' thresholds


def find_attributes(
    effects: Effects,
    target: int | None = None,
    *,
    top: int = 10,
    strategy: Strategy = "global",
    threshold: float | None = None,
    image: int | None = None,
    discriminator: Discriminator | None = None,
    logits: Logits | None = None,
    rules: Rules = Rules(),
) -> list[Attribute]:
    """At most `top` attributes that move images of other classes towards class `target`, the strongest first.

    Without a target: of two classes, both lists combined, each direction said towards class 0 (the second class's are turned round); of
    more, each class's list against all others, one after the other. `independent` and `subset` are about one `image`; its target is by
    default the class that comes second there. `threshold` is T of `global`. With `discriminator` what makes unreal images is left out;
    with `logits` `subset` measures coordinates together, else it adds their effects. Raises BadInput where the question has no answer.
    """
    rules = rules if threshold is None else replace(rules, threshold=threshold)
    return list(select(effects, target, top=top, strategy=strategy, image=image, discriminator=discriminator, logits=logits, rules=rules))


def select(
    effects: Effects,
    target: int | None = None,
    *,
    top: int = 10,
    strategy: Strategy = "global",
    image: int | None = None,
    discriminator: Discriminator | None = None,
    logits: Logits | None = None,
    rules: Rules = Rules(),
) -> Selection:
    """As `find_attributes`, with all that there is to say of the selection."""
    _check(effects, target, top, strategy, image)
    job = _Job(effects, top, strategy, rules, discriminator, logits)
    remarks, labels = job.prepare(), effects.base_logits.shape[1]
    if strategy in OF_ONE_IMAGE:
        assert image is not None
        target, found = job.of_one_image(image, target)
        lists = {target: found}
    elif target is not None:
        lists = {target: job.towards(target, ONE_AGAINST_ALL)}
    else:
        lists = job.each(COMBINED if labels == 2 else ONE_AGAINST_ALL)
    together = target is None and labels == 2
    return Selection(
        attributes=tuple(combined(lists, job.effects, top) if together else (a for own in lists.values() for a in own)),
        by_class={label: tuple(own) for label, own in lists.items()},
        strategy=strategy,
        target=target,
        image=image,
        parameters=job.parameters(target),
        remarks=(*remarks, *job.remarks()),
        search=effects.about.get("search", "exhaustive"),
        measured_on=effects.digests,
    )


def combined(lists: Mapping[int, Iterable[Attribute]], effects: Array, top: int) -> list[Attribute]:
    """Two classes' lists as one, said towards class 0: the second's directions turned round, its repeats dropped, by mean effect.

    A repeat is a coordinate, either way, that the first list has. As in the authors' notebook the mean effect of (d, s) is that on class 0
    over all images, plus that of (1 - d, s) on class 1, of the stable images' `effects` [n, 2, S, 2].
    """
    first = list(lists.get(0, ()))
    taken = {a.coordinate for a in first}
    joined = [*first, *(a.turned() for a in lists.get(1, ()) if a.coordinate not in taken)]
    means = effects.mean(0, dtype=np.float64)

    def scored(a: Attribute) -> Attribute:
        return replace(a, score=float(means[a.direction, a.coordinate, 0] + means[1 - a.direction, a.coordinate, 1]))

    return sorted(map(scored, joined), key=lambda a: -a.score)[:top]


class _Job:
    """One selection: the stable images' gains, and what there was to remark."""

    def __init__(
        self, effects: Effects, top: int, strategy: Strategy, rules: Rules, discriminator: Discriminator | None, logits: Logits | None
    ) -> None:
        self.source, self.top, self.strategy, self.rules = effects, top, strategy, rules
        self.discriminator, self.logits = discriminator, logits
        self.effects = effects.effects
        self.rejected: set[tuple[int, int]] = set()
        self.notes: list[str] = []

    def prepare(self) -> list[str]:
        """Sets the unstable images' effects to zero."""
        self.unstable = strategies.unstable(self.effects, self.rules.unstable_above, self.rules.unstable_entries)
        if not self.unstable.any():
            return []
        self.effects = np.where(self.unstable[:, None, None, None], np.float32(0), self.effects)
        numbers = ", ".join(map(str, np.flatnonzero(self.unstable)[:10].tolist()))
        return [f"{self.unstable.sum()} unstable images count as unmoved ({numbers}{', ...' if self.unstable.sum() > 10 else ''})"]

    def towards(self, target: int, threshold: float) -> list[Attribute]:
        """The attributes of one class against all others."""
        images = np.flatnonzero(self.source.done & (self.source.classes != target))
        if not len(images):
            raise BadInput(f"no measured image is of another class than {self._name(target)}, so none can be moved towards it; add images")
        gains = strategies.gains_towards(self.effects[images], target)
        accept = self._accept(gains, images)
        if self.strategy == "global":
            found = strategies.greedy(gains, self._threshold(threshold), self.top, accept)
            scores = gains.mean(0)
        else:
            found = strategies.by_images(gains, self.rules.effect, self.rules.fraction, self.top, accept)
            scores = (gains > np.float32(self.rules.effect)).mean(0)
        return self._attributes(found, scores, target)

    def each(self, threshold: float) -> dict[int, list[Attribute]]:
        """Every class's attributes against all others; a remark where a class has no images to move."""
        lists = {}
        for target in range(self.source.base_logits.shape[1]):
            if (self.source.done & (self.source.classes != target)).any():
                lists[target] = self.towards(target, threshold)
            else:
                self.notes.append(f"every measured image is of class {self._name(target)}: there is no list towards it")
        return lists

    def of_one_image(self, image: int, target: int | None) -> tuple[int, list[Attribute]]:
        """The target and the attributes of one image."""
        base = self.source.base_logits[image]
        own = int(base.argmax())
        if target is None:
            target = int(np.where(np.arange(len(base)) == own, -np.inf, base).argmax())
        if target == own:
            raise BadInput(f"image {image} is of class {self._name(own)} already; name another target class or image")
        if self.unstable[image]:
            above, entries = self.rules.unstable_above, self.rules.unstable_entries
            raise BadInput(f"image {image} is unstable: more than {entries} of its effects are above {above:g}; choose another image")
        gains = strategies.gains_towards(self.effects[[image]], target)
        accept = self._accept(gains, np.array([image]))
        if self.strategy == "independent":
            found = strategies.each_alone(gains, self.top, accept)
        else:
            logits = self._exact(image, self.logits) if self.logits else strategies.additive(self.effects[image], base)
            if not self.logits:
                self.notes.append("coordinates together are taken to do what they do alone, added: no model was asked")
            found = strategies.subset(gains, logits, base, target, self.top, self.rules.candidates, accept)
        return target, self._attributes(found, gains[0], target)

    def parameters(self, target: int | None) -> dict[str, tuple[Any, str]]:
        """What the selection went by, and where each number comes from."""
        names = {
            "global": ("threshold",),
            "image-fraction": ("effect", "fraction"),
            "independent": (),
            "subset": ("candidates",) if self.logits else (),
        }[self.strategy]
        names += ("unstable_above", "unstable_entries")
        if self.discriminator:
            names += ("effect", "discriminator_images", "discriminator_shift", "discriminator_change")
        values = {name: (value, _origin(name, value)) for name in dict.fromkeys(names) if (value := getattr(self.rules, name)) is not None}
        if "threshold" in names and "threshold" not in values:
            combined = target is None and self.source.base_logits.shape[1] == 2
            values["threshold"] = (COMBINED, "the authors, combined") if combined else (ONE_AGAINST_ALL, "the authors, one against all")
        return {"top": (self.top, "chosen"), **values}

    def remarks(self) -> list[str]:
        """What was odd."""
        found = list(self.notes)
        if self.source.about.get("search", "exhaustive") != "exhaustive":
            found.append("the search was screened: a coordinate that was not measured is none that moves an image")
            for label, recall in self.source.about.get("screening", {}).get("recall", {}).items():
                if recall < 1:
                    found.append(f"towards {self._name(int(label))} {recall:.0%} of the strongest are expected to be among those measured")
        if self.rejected:
            places = ", ".join(f"({d}, {s})" for d, s in sorted(self.rejected)[:10])
            found.append(f"the discriminator's score moved too far for {len(self.rejected)} (direction, coordinate): {places}")
        if not self.source.done.all():
            found.append(f"{np.count_nonzero(~self.source.done)} of {len(self.source.done)} images are not measured yet")
        return found

    def _threshold(self, default: float) -> float:
        return default if self.rules.threshold is None else self.rules.threshold

    def _name(self, label: int) -> str:
        return self.source.labels[label] if label < len(self.source.labels) else str(label)

    def _accept(self, gains: Array, images: Array) -> strategies.Accept:
        """Whether the discriminator lets an entry pass: on the first images that it moves, its score stays near what it was."""
        size, judge, rules = gains.shape[1] // 2, self.discriminator, self.rules
        if judge is None:
            return lambda entry: True

        @cache
        def accept(entry: int) -> bool:
            direction, coordinate = divmod(entry, size)
            for image in images[gains[:, entry] > np.float32(rules.effect)][: rules.discriminator_images].tolist():
                if not abs(judge(image, coordinate, direction, rules.discriminator_shift)) <= rules.discriminator_change:
                    self.rejected.add((direction, coordinate))
                    return False
            return True

        return accept

    def _exact(self, image: int, logits: Logits) -> strategies.Logits:
        """The logits of sets of changes, by making the images."""
        source, shift = self.source, float(self.source.about.get("shift", 1.0))
        own = source.styles[image]
        ends = np.stack([own + shift * (source.style_min - own), own + shift * (source.style_max - own)]).astype(np.float32)

        def of(changes: list[list[int]]) -> Array:
            styles = np.repeat(own[None], len(changes), 0)
            for row, entries in zip(styles, changes, strict=True):
                for direction, coordinate in (divmod(entry, len(own)) for entry in entries):
                    row[coordinate] = ends[direction, coordinate]
            return logits(image, styles)

        return of

    def _attributes(self, found: strategies.Picked, scores: Array, target: int) -> list[Attribute]:
        size = len(scores) // 2
        if found.stopped:
            self.notes.append(f"towards {self._name(target)}: {len(found.entries)} of {self.top} attributes: {found.stopped}")
        chosen = []
        for entry in found.entries:
            direction, coordinate = divmod(entry, size)
            layer, channel = self.source.where(coordinate)
            chosen.append(Attribute(direction, coordinate, layer, channel, float(scores[entry]), target))
        return chosen


def _origin(name: str, value: Any) -> str:
    if value != getattr(Rules(), name):
        return "chosen"
    return "this project" if name == "candidates" else "the authors"


def _check(effects: Effects, target: int | None, top: int, strategy: str, image: int | None) -> None:
    """Raises BadInput where the question does not fit the run."""
    count, _, size, labels = effects.effects.shape
    if strategy not in STRATEGIES:
        raise BadInput(f"strategy {strategy!r} is none of {', '.join(STRATEGIES)}")
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
