"""The first study: can people tell attributes apart? Two groups of animations, A and B, and one more: to which does it belong?

Lang et al. 2021, section 5: the attributes are distinct where people who saw examples of two recognise one of them in another image.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.select.attributes import Attribute
from stylexport.attfind.studies.animations import Change, Gallery, best_images, changes
from stylexport.attfind.studies.form import Question, Study, write
from stylexport.common.errors import BadInput

KIND = "classification"
ATTRIBUTE, DIRECTION, BOTH = "attribute", "direction", "both"  # what the two groups differ in
KINDS = (ATTRIBUTE, DIRECTION, BOTH)
SPARE = 2  # a question draws from so many times as many of an attribute's best images as it shows, so that questions differ


def classification(
    subject: Subject,
    attributes: Iterable[Attribute],
    out: Path,
    *,
    first: int | None = None,
    questions: int = 20,
    examples: int = 2,
    kind: str = ATTRIBUTE,
    seed: int = 0,
) -> Study:
    """Writes the first study of the `first` attributes (by default six) into `out`.

    Each question shows `examples` animations of each group and asks about one more. The groups are two attributes, or (`kind`
    "direction") the two directions of one, or half of the questions are of each kind ("both"). Raises BadInput where attributes or
    images are too few.
    """
    chance, shown, gallery = random.Random(seed), changes(attributes, first), Gallery(subject)
    if kind != DIRECTION and len(shown) < 2:
        raise BadInput("one attribute cannot be distinguished from others: take 2 or more by --attributes, or --kind direction")
    kinds = (ATTRIBUTE, DIRECTION) if kind == BOTH else (kind,)
    pairs = [pair for i, k in enumerate(kinds) for pair in _pairs(k, shown, len(range(i, questions, len(kinds))), chance)]
    answers = ["AB"[i % 2] for i in range(questions)]
    chance.shuffle(pairs)
    chance.shuffle(answers)
    asked = [_question(k, pair, answer, examples, gallery, chance) for (k, pair), answer in zip(pairs, answers, strict=True)]
    about = {"seed": seed, "labels": list(subject.effects.labels), "attributes": [change.facts for change in shown]}
    return write(out, KIND, asked, gallery.pictures, about)


def _pairs(kind: str, shown: Sequence[Change], count: int, chance: random.Random) -> list[tuple[str, tuple[Change, Change]]]:
    """`count` pairs of groups, each possible pair as often as any other (or once more), which of them is A drawn by chance."""
    every = list(itertools.combinations(shown, 2)) if kind == ATTRIBUTE else [(a, a.reversed) for a in shown]
    found: list[tuple[Change, Change]] = []
    while len(found) < count:
        found += chance.sample(every, min(len(every), count - len(found)))
    return [(kind, pair if chance.random() < 0.5 else (pair[1], pair[0])) for pair in found]


def _question(kind: str, pair: tuple[Change, Change], answer: str, examples: int, gallery: Gallery, chance: random.Random) -> Question:
    """A question whose images are all different, each drawn from those where its attribute works best."""
    needed, groups = 2 * examples + 1, {"A": pair[0], "B": pair[1]}
    chosen: dict[str, list[int]] = {}
    for place, attribute, count in (("asked", groups[answer], 1), ("A", pair[0], examples), ("B", pair[1], examples)):
        used = {i for images in chosen.values() for i in images}
        pool = best_images(gallery.subject.effects, attribute, SPARE * needed, needed)
        chosen[place] = chance.sample([i for i in pool if i not in used], count)
    shown = {"asked": groups[answer], **groups}
    return Question(
        {place: [gallery.animation(i, shown[place]) for i in images] for place, images in chosen.items()},
        {"kind": kind, "answer": answer, **{letter: groups[letter].facts for letter in "AB"}, "images": chosen},
    )
