"""The words of short descriptions in English: lemmatised by simplemma (the extra [studies]), without words that describe nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import simplemma

WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
POSSESSIVE = re.compile(r"['’]s?\b")
# Articles, pronouns, prepositions, conjunctions, auxiliaries, degrees: the words that describe nothing.
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
QUESTION_WORDS = frozenset({"change", "thing", "picture", "image"})  # which the question itself uses


@dataclass(frozen=True)
class Word:
    """A lemma, in how many answers it occurs, and the forms in which it is written, the commonest first."""

    lemma: str
    count: int
    forms: tuple[str, ...]


def words(answer: str) -> dict[str, set[str]]:
    """The lemmas of one answer, each with the forms in which it is written.

    Example:
        >>> dict(words("The eyes get wider"))
        {'eye': {'eyes'}, 'wide': {'wider'}}

    """
    found: dict[str, set[str]] = defaultdict(set)
    for form in WORD.findall(POSSESSIVE.sub("", answer.lower())):
        lemma = simplemma.lemmatize(form, lang="en").lower()
        if not {form, lemma} & STOP_WORDS and lemma not in QUESTION_WORDS:
            found[lemma].add(form)
    return found


def common(answers: Iterable[str], most: int) -> tuple[Word, ...]:
    """The `most` commonest words of the answers, and all others that are as common as the last of these; ties in alphabetical order.

    A word counts once for each answer, however often it occurs there.
    """
    counts: Counter[str] = Counter()
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        for lemma, written in words(answer).items():
            counts[lemma] += 1
            forms[lemma].update(written)
    ranked = sorted(counts, key=lambda lemma: (-counts[lemma], lemma))
    shown = [lemma for lemma in ranked if counts[lemma] >= counts[ranked[min(most, len(ranked)) - 1]]]
    return tuple(Word(lemma, counts[lemma], _by_frequency(forms[lemma])) for lemma in shown)


def _by_frequency(forms: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(forms, key=lambda form: (-forms[form], form)))
