"""Selecting attributes from effects: the strategies of Lang et al. 2021, section 3.3, with the authors' numbers (docs/attfind.md).

    find_attributes(Effects.load("run"), top=8)              both classes together, as in the paper's figures
    find_attributes(effects, 1, strategy="image-fraction")   towards class 1

Pure numpy; what needs a network is asked of functions that network_checks.py makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from stylexport.attfind.counterfactual import Move
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.select import strategies
from stylexport.attfind.select.attributes import Attribute, Selection
from stylexport.attfind.select.network_checks import logits_of_moves
from stylexport.attfind.select.rules import (
    AUTHORS,
    COMBINED,
    OF_ONE_IMAGE,
    ONE_AGAINST_ALL,
    Discriminator,
    LogitsOfStyles,
    Rules,
    Strategy,
    check_question,
    parameters,
)
from stylexport.common.errors import BadInput
from stylexport.common.types import Array


def find_attributes(
    effects: Effects,
    target: int | None = None,
    *,
    top: int = 10,
    strategy: Strategy = "global",
    threshold: float | None = None,
    image: int | None = None,
    discriminator: Discriminator | None = None,
    logits: LogitsOfStyles | None = None,
    rules: Rules = AUTHORS,
) -> list[Attribute]:
    """At most `top` attributes that move images of other classes towards class `target`, the strongest first.

    Without a target: of two classes, both lists combined, each direction stated towards class 0 (the second class's are reversed); of
    more, each class's list against all others, one after the other. `independent` and `subset` are about one `image`; its target is by
    default the class that comes second there. `threshold` is T of `global`. With `discriminator` what makes unreal images is left out;
    with `logits` `subset` measures coordinates together, else it adds their effects. Raises BadInput where the question has no answer.

    Example:
        >>> measured = np.zeros((2, 2, 3, 2), np.float32)  # two images, three coordinates, two labels
        >>> measured[1, 1, 2, 0] = 0.75  # image 1: coordinate 2 to its maximum raises the logit of class 0
        >>> styles, base = np.zeros((2, 3), np.float32), np.eye(2, dtype=np.float32)
        >>> effects = Effects(measured, base, styles, styles, styles[0], styles[0], np.ones(2, bool))
        >>> [(a.direction, a.coordinate, a.score) for a in find_attributes(effects, target=0)]
        [(1, 2, 0.75)]

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
    logits: LogitsOfStyles | None = None,
    rules: Rules = AUTHORS,
) -> Selection:
    """As `find_attributes`, with parameters, remarks and each class's own list."""
    check_question(effects, target, top, strategy, image)
    selector = _Selector(effects, top, strategy, rules, discriminator, logits)
    labels = effects.base_logits.shape[1]
    if strategy in OF_ONE_IMAGE:
        assert image is not None
        target, found = selector.of_one_image(image, target)
        lists = {target: found}
    elif target is not None:
        lists = {target: selector.towards(target, ONE_AGAINST_ALL)}
    else:
        lists = selector.each(COMBINED if labels == 2 else ONE_AGAINST_ALL)
    together = target is None and labels == 2
    return Selection(
        attributes=tuple(combined(lists, selector.effects, top) if together else (a for own in lists.values() for a in own)),
        by_class={label: tuple(own) for label, own in lists.items()},
        strategy=strategy,
        target=target,
        image=image,
        parameters=parameters(rules, strategy, top, together, discriminator=discriminator is not None, rendered=logits is not None),
        remarks=selector.remarks(),
        search=effects.about.get("search", "exhaustive"),
        measured_on=effects.digests,
        labels=effects.labels,
    )


def combined(lists: Mapping[int, Iterable[Attribute]], effects: Array, top: int) -> list[Attribute]:
    """Two classes' lists as one, stated towards class 0: the second's directions reversed, its repeats dropped, by mean effect.

    A repeat is a coordinate, either way, that the first list has. As in the authors' notebook the mean effect of (d, s) is that on class 0
    over all images, plus that of (1 - d, s) on class 1, of the stable images' `effects` [n, 2, S, 2].
    """
    first = list(lists.get(0, ()))
    taken = {a.coordinate for a in first}
    joined = [*first, *(a.reversed() for a in lists.get(1, ()) if a.coordinate not in taken)]
    means = effects.mean(0, dtype=np.float64)

    def scored(a: Attribute) -> Attribute:
        return replace(a, score=float(means[a.direction, a.coordinate, 0] + means[1 - a.direction, a.coordinate, 1]))

    return sorted(map(scored, joined), key=lambda a: -a.score)[:top]


class _Selector:
    """One selection: the effects with those of unstable images set to zero, and the remarks that come up."""

    def __init__(
        self,
        source: Effects,
        top: int,
        strategy: Strategy,
        rules: Rules,
        discriminator: Discriminator | None,
        logits: LogitsOfStyles | None,
    ) -> None:
        self.source, self.top, self.strategy, self.rules = source, top, strategy, rules
        self.discriminator, self.logits = discriminator, logits
        self.rejected: set[Move] = set()
        self.notes: list[str] = []
        self.unstable = strategies.unstable(source.effects, rules.unstable_above, rules.unstable_entries)
        count = int(self.unstable.sum())
        self.effects = np.where(self.unstable[:, None, None, None], np.float32(0), source.effects) if count else source.effects
        if count:
            numbers = ", ".join(map(str, np.flatnonzero(self.unstable)[:10].tolist()))
            self.notes.append(f"{count} unstable images count as unmoved ({numbers}{', ...' if count > 10 else ''})")

    def towards(self, target: int, threshold: float) -> list[Attribute]:
        """The attributes of one class against all others."""
        source, rules = self.source, self.rules
        images = np.flatnonzero(source.done & (source.classes != target))
        if not len(images):
            name = source.label(target)
            raise BadInput(f"no measured image is of another class than {name}, so none can be moved towards it; add images")
        gains = strategies.gains_towards(self.effects[images], target)
        accept = self._accept(gains, images)
        if self.strategy == "global":
            found = strategies.greedy(gains, threshold if rules.threshold is None else rules.threshold, self.top, accept)
            scores = gains.mean(0)
        else:
            found = strategies.by_images(gains, rules.effect, rules.fraction, self.top, accept)
            scores = (gains > np.float32(rules.effect)).mean(0)
        return self._attributes(found, scores, target)

    def each(self, threshold: float) -> dict[int, list[Attribute]]:
        """Every class's attributes against all others; a remark where a class has no images to move."""
        lists = {}
        for target in range(self.source.base_logits.shape[1]):
            if (self.source.done & (self.source.classes != target)).any():
                lists[target] = self.towards(target, threshold)
            else:
                self.notes.append(f"every measured image is of class {self.source.label(target)}: there is no list towards it")
        return lists

    def of_one_image(self, image: int, target: int | None) -> tuple[int, list[Attribute]]:
        """The target and the attributes of one image."""
        base = self.source.base_logits[image]
        own = int(base.argmax())
        if target is None:
            target = int(np.where(np.arange(len(base)) == own, -np.inf, base).argmax())
        if target == own:
            raise BadInput(f"image {image} is of class {self.source.label(own)} already; name another target class or image")
        if self.unstable[image]:
            above, entries = self.rules.unstable_above, self.rules.unstable_entries
            raise BadInput(f"image {image} is unstable: more than {entries} of its effects are above {above:g}; choose another image")
        gains = strategies.gains_towards(self.effects[[image]], target)
        accept = self._accept(gains, np.array([image]))
        if self.strategy == "independent":
            found = strategies.each_alone(gains, self.top, accept)
        else:
            if self.logits:
                logits = logits_of_moves(self.source, image, self.logits)
            else:
                logits = strategies.additive(self.effects[image], base)
                self.notes.append("coordinates together are taken to do what they do alone, added: no model was asked")
            found = strategies.subset(gains, logits, base, target, self.top, self.rules.candidates, accept)
        return target, self._attributes(found, gains[0], target)

    def remarks(self) -> tuple[str, ...]:
        """What a reader should know of this selection."""
        found = list(self.notes)
        if self.source.about.get("search", "exhaustive") != "exhaustive":
            found.append("the search was screened: a coordinate that was not measured counts as one that moves no image")
            for label, recall in self.source.about.get("screening", {}).get("recall", {}).items():
                if recall < 1:
                    name = self.source.label(int(label))
                    found.append(f"towards {name} {recall:.0%} of the strongest are expected to be among those measured")
        if self.rejected:
            places = ", ".join(f"({d}, {s})" for d, s in sorted(self.rejected)[:10])
            found.append(f"the discriminator's score moved too far for {len(self.rejected)} (direction, coordinate): {places}")
        if not self.source.done.all():
            found.append(f"{np.count_nonzero(~self.source.done)} of {len(self.source.done)} images are not measured yet")
        return tuple(found)

    def _accept(self, gains: Array, images: Array) -> strategies.Accept:
        """Whether the discriminator accepts a move: on the first images that it moves, its score stays near what it was."""
        discriminator, rules = self.discriminator, self.rules
        if discriminator is None:
            return lambda move: True

        @cache
        def accept(move: Move) -> bool:
            strong = gains[:, move.direction, move.coordinate] > np.float32(rules.effect)
            for image in images[strong][: rules.discriminator_images].tolist():
                change = discriminator(image, move.coordinate, move.direction, rules.discriminator_shift)
                if not abs(change) <= rules.discriminator_change:
                    self.rejected.add(move)
                    return False
            return True

        return accept

    def _attributes(self, found: strategies.StrategyResult, scores: Array, target: int) -> list[Attribute]:
        """The moves with their layers and their scores [2, S]."""
        if found.stopped:
            self.notes.append(f"towards {self.source.label(target)}: {len(found.moves)} of {self.top} attributes: {found.stopped}")
        return [Attribute(*move, *self.source.where(move.coordinate), float(scores[move]), target) for move in found.moves]
