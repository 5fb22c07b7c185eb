"""A study on disk: DIR/index.html, which holds all that a participant needs and no answer, and DIR/key.json, which holds the answers.

The pictures stand in the page in an order shuffled by the seed, so that their places give no hint. The study's name is a digest of key and
pictures: answers say which study they belong to, and are never judged by the key of another.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylexport.common.atomic import whole_file
from stylexport.common.types import Array

FORMAT = 1
PAGE, KEY = "index.html", "key.json"
TEMPLATES = Path(__file__).parent / "templates"
# of a file of answers, as templates/study.js saves it
COLUMNS = ("study", "kind", "participant", "question", "answer", "shown_s", "answered_s")
SMOOTH = 128  # pixels from which a browser may smooth what it shrinks or stretches

Animation = tuple[int, int]


@dataclass(frozen=True)
class Question:
    """One question: the animations of each of its places in the page, and what the key says of it beside its name."""

    places: Mapping[str, Sequence[Animation]]
    key: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """What `write` wrote: the study's name, the page, the key, and how many questions and pictures there are."""

    name: str
    page: Path
    key: Path
    questions: int
    pictures: int


def write(out: Path, kind: str, questions: Sequence[Question], pictures: Sequence[Array], about: Mapping[str, Any]) -> Study:
    """Writes a study of `kind` ("classification", "verbal") into the folder `out`; `about` goes into the key, and its `seed` is used.

    The same arguments give the same bytes.
    """
    from stylexport.pages.render import png, render

    order = list(range(len(pictures)))
    random.Random(f"pictures {about['seed']}").shuffle(order)
    place_of = {number: place for place, number in enumerate(order)}
    drawn = [png(pictures[number]) for number in order]
    names = [f"q{number:02}" for number in range(1, len(questions) + 1)]
    shown = [
        {"id": name, "places": {place: [[place_of[i] for i in pair] for pair in pairs] for place, pairs in question.places.items()}}
        for name, question in zip(names, questions, strict=True)
    ]
    key = {"format": FORMAT, "kind": kind, **about, "questions": [{"id": n, **q.key} for n, q in zip(names, questions, strict=True)]}
    study = hashlib.sha256(json.dumps([key, drawn], sort_keys=True).encode()).hexdigest()[:12]
    out.mkdir(parents=True, exist_ok=True)
    render(
        TEMPLATES / f"study_{kind}.html",
        out / PAGE,
        study={"study": study, "kind": kind, "columns": COLUMNS, "questions": shown, "pictures": drawn},
        smooth=pictures[0].shape[-1] >= SMOOTH,
    )
    with whole_file(out / KEY) as partial:
        partial.write_text(
            json.dumps({"study": study, **key}, indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
            errors="backslashreplace",
            newline="\n",
        )
    return Study(study, out / PAGE, out / KEY, len(questions), len(pictures))
