"""The words of short descriptions: lemmatised by simplemma (English), without those that describe nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
POSSESSIVE = re.compile(r"['’]s?\b")
# articles, pronouns, prepositions, conjunctions, auxiliaries, degrees: English words that tell how something is said, not what
STOP_WORDS = frozenset(
    """
    a an the this that these those it its he his him she her they their them i you we my your our one ones there here
    of in on at to from for with without by as into onto over under around about out up down off between through
    and or but nor so than then if while when where which who whose what how not no
    is are was were be been being am has have had having do does did done can could will would may might should get gets got getting
    become becomes became becoming more most less least much many very quite rather too also just only some any all each both bit little
    lot slightly
    """.split()
)
ASKED = frozenset({"change", "thing", "picture", "image"})  # the question's own words


@dataclass(frozen=True)
class Word:
    """A lemma, how many answers hold it, and its written forms, the commonest first."""

    lemma: str
    count: int
    forms: tuple[str, ...]


def words(answer: str) -> dict[str, set[str]]:
    """The lemmas of one answer, each with the forms in which it is written."""
    import simplemma

    found: dict[str, set[str]] = defaultdict(set)
    for form in WORD.findall(POSSESSIVE.sub("", answer.lower())):
        lemma = simplemma.lemmatize(form, lang="en").lower()
        if not {form, lemma} & STOP_WORDS and lemma not in ASKED:
            found[lemma].add(form)
    return found


def common(answers: Iterable[str], most: int) -> tuple[Word, ...]:
    """The `most` commonest words of answers, and whatever is as common as the last of these; ties in alphabetical order.

    A word counts once an answer, however often it is in there.
    """
    counts: Counter[str] = Counter()
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        for lemma, written in words(answer).items():
            counts[lemma] += 1
            forms[lemma].update(written)
    ranked = sorted(counts, key=lambda lemma: (-counts[lemma], lemma))
    shown = [lemma for lemma in ranked if counts[lemma] >= counts[ranked[min(most, len(ranked)) - 1]]]
    return tuple(Word(lemma, counts[lemma], _ranked(forms[lemma])) for lemma in shown)


def _ranked(forms: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(forms, key=lambda form: (-forms[form], form)))
