"""What the answers show: accuracies of the classification study, words of the verbal one.

As the replication reports them: the accuracy with its standard deviation over attributes (its Table 1; over participants stands beside
it), and the commonest words of each attribute (its Table 3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev, stdev
from typing import Any

from stylexport.attfind.evaluate.intervals import wilson
from stylexport.attfind.studies.answers import Answer, Key, checked, read_key
from stylexport.attfind.studies.student import Interval, student
from stylexport.attfind.studies.word_counts import Word, common

CHANCE = 0.5  # of two groups one is right


@dataclass(frozen=True)
class Score:
    """Of `total` answers `right` are right; `interval` is Wilson's at 95 %, which takes the answers as independent."""

    name: str
    right: int
    total: int

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.right / self.total

    @property
    def interval(self) -> Interval:
        """At 95 %."""
        return wilson(self.accuracy, self.total)


@dataclass(frozen=True)
class Accuracy:
    """The classification study's outcome.

    `mean` is over participants; `sd_sample` divides by n - 1 (None for one participant), `sd_population` by n; `interval` is Student's at
    95 % of the mean (None likewise). `sd_attributes` is of the attributes' accuracies, divided by their number: the ± of the replication's
    Table 1. `kinds` and `attributes` pool all participants' answers, an attribute's where it is the answer.
    """

    participants: tuple[Score, ...]
    kinds: tuple[Score, ...]
    attributes: tuple[Score, ...]
    overall: Score
    mean: float
    sd_sample: float | None
    sd_population: float
    sd_attributes: float
    interval: Interval | None
    chance: float = CHANCE


@dataclass(frozen=True)
class Described:
    """The verbal study's outcome for one attribute: how many described it, and the commonest words. Without a key its question names it."""

    name: str
    answers: int
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Analysis:
    """Both studies' outcomes, as far as there were answers to them."""

    classification: Accuracy | None
    verbal: tuple[Described, ...]


def analyse(files: Sequence[Path], keys: Sequence[Path] = (), *, most: int = 3) -> Analysis:
    """The analysis of files of answers, judged by the keys, with `most` common words for each attribute. Raises BadInput."""
    answers, known = checked(files, [read_key(path) for path in keys])
    chosen = [answer for answer in answers if answer.kind == "classification"]
    return Analysis(accuracy(chosen, known) if chosen else None, described([a for a in answers if a.kind == "verbal"], known, most))


def accuracy(answers: Sequence[Answer], keys: Mapping[str, Key]) -> Accuracy:
    """Right answers by participant, by kind of question, and by attribute."""

    def question(answer: Answer) -> Mapping[str, Any]:
        return keys[answer.study].questions[answer.question]

    def scores(name: Callable[[Answer], str]) -> tuple[Score, ...]:
        groups: dict[str, list[bool]] = defaultdict(list)
        for answer in answers:
            groups[name(answer)].append(answer.answer == question(answer)["answer"])
        return tuple(Score(name, sum(right), len(right)) for name, right in sorted(groups.items()))

    participants = scores(lambda answer: answer.participant)
    each = [score.accuracy for score in participants]
    attributes = scores(lambda answer: attribute_name(question(answer)[question(answer)["answer"]]))
    return Accuracy(
        participants,
        kinds=scores(lambda answer: str(question(answer)["kind"])),
        attributes=attributes,
        overall=scores(lambda answer: "all")[0],
        mean=fmean(each),
        sd_sample=stdev(each) if len(each) > 1 else None,
        sd_population=pstdev(each),
        sd_attributes=pstdev(score.accuracy for score in attributes),
        interval=student(each),
    )


def described(answers: Sequence[Answer], keys: Mapping[str, Key], most: int) -> tuple[Described, ...]:
    """The commonest words of each attribute, attributes in the order of their layers and channels."""
    groups: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        key = keys.get(answer.study)
        groups[attribute_name(key.questions[answer.question]["attribute"]) if key else answer.question].append(answer.answer)
    return tuple(Described(name, len(texts), common(texts, most)) for name, texts in sorted(groups.items()))


def attribute_name(facts: Mapping[str, Any]) -> str:
    """An attribute as a reader knows it: "b16.conv1, channel 12, to its maximum"."""
    return f"{facts['layer']}, channel {facts['channel']}, to its {('minimum', 'maximum')[facts['direction']]}"


def to_json(found: Analysis) -> dict[str, Any]:
    """The analysis for a program."""
    chosen = found.classification
    return {
        "classification": chosen
        and {
            "participants": [_score(score) for score in chosen.participants],
            "accuracy_mean": chosen.mean,
            "accuracy_sd_sample": chosen.sd_sample,
            "accuracy_sd_population": chosen.sd_population,
            "accuracy_sd_attributes": chosen.sd_attributes,
            "accuracy_interval_95_student": chosen.interval,
            "chance": chosen.chance,
            "all_answers": _score(chosen.overall),
            "kinds": [_score(score) for score in chosen.kinds],
            "attributes": [_score(score) for score in chosen.attributes],
        },
        "verbal": [
            {"attribute": d.name, "answers": d.answers, "words": [{"word": w.lemma, "count": w.count, "written": w.forms} for w in d.words]}
            for d in found.verbal
        ],
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "right": score.right,
        "total": score.total,
        "accuracy": score.accuracy,
        "interval_95_wilson": score.interval,
    }
