"""Answers as the forms save them (CSV, one row for each question) and the keys that they are judged by, checked against each other."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from stylexport.attfind.studies.form import COLUMNS, FORMAT
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.json_files import from_json, read_json

T = TypeVar("T")

REMEDY = "name the key.json that lies beside the study's page"
KINDS = ("classification", "verbal")
JUDGED = ("study", "kind", "participant", "question", "answer")  # the columns that count; the times are for the reader


@dataclass(frozen=True)
class Answer:
    """One row: who answered what to which question of which study, and where the row stands."""

    study: str
    kind: str
    participant: str
    question: str
    answer: str
    where: str


@dataclass(frozen=True)
class Key:
    """A study's key: its name, its kind, and what it says of each question by the question's name."""

    study: str
    kind: str
    questions: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class _KeyFile:
    """What a key's file must hold, beside what it says of the study."""

    study: str
    kind: str
    questions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class _Attribute:
    """What must be known of an attribute, to name it."""

    layer: str
    channel: int
    direction: int

    def __post_init__(self) -> None:
        if self.direction not in (0, 1):
            raise ValueError(f"a direction is {self.direction}, not 0 or 1")


@dataclass(frozen=True)
class _Choice:
    """A question of a classification study."""

    id: str
    kind: str
    answer: str
    A: Mapping[str, Any]
    B: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.answer not in ("A", "B"):
            raise ValueError(f"question {self.id} has the answer {self.answer!r}, not A or B")
        for facts in (self.A, self.B):
            _part(_Attribute, facts)


@dataclass(frozen=True)
class _Words:
    """A question of a verbal study."""

    id: str
    attribute: Mapping[str, Any]

    def __post_init__(self) -> None:
        _part(_Attribute, self.attribute)


def _part(kind: type[T], values: Mapping[str, Any]) -> T:
    """Those values that `kind` has as fields. Raises ValueError where one is missing or of another type."""
    return from_json(kind, {field.name: values[field.name] for field in fields(kind) if field.name in values})  # type: ignore[arg-type]


def read_key(path: Path) -> Key:
    """A key that a study wrote. Raises BadInput where it is missing, DamagedFile where it is not a key."""
    found = read_json(path, REMEDY)
    try:
        if found.get("format") != FORMAT:
            raise ValueError(f"format {found.get('format')}, not {FORMAT}")
        key = from_json(_KeyFile, {name: found[name] for name in ("study", "kind", "questions") if name in found})
        if key.kind not in KINDS:
            raise ValueError(f"a study of kind {key.kind!r}")
        if not key.questions:
            raise ValueError("it has no questions")
        form: type[_Choice] | type[_Words] = _Choice if key.kind == "classification" else _Words
        return Key(key.study, key.kind, {_part(form, row).id: row for row in key.questions})
    except ValueError as error:
        raise DamagedFile(path, f"is not the key of a study ({error})", REMEDY) from error


def read_answers(path: Path) -> list[Answer]:
    """The rows of one file. Raises BadInput, naming file and line, where a column, an answer or a name is missing."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if missing := [name for name in COLUMNS if name not in (rows.fieldnames or ())]:
                raise BadInput(f"{path}, line 1: has no column {', '.join(missing)}; a study's page saves {', '.join(COLUMNS)}")
            return [_answer(row, f"{path}, line {rows.line_num}") for row in rows]
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}; name a file that a study's page saved") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DamagedFile(path, f"is not CSV in UTF-8 ({error})", "name the file as the study's page saved it") from error


def _answer(row: Mapping[Any, Any], where: str) -> Answer:
    if None in row or None in row.values():
        raise BadInput(f"{where}: has more or fewer fields than line 1 names; name the file as the study's page saved it")
    found = Answer(**{name: row[name].strip() for name in JUDGED}, where=where)
    if empty := [name for name in JUDGED if not getattr(found, name)]:
        raise BadInput(f"{where}: has no {', '.join(empty)}; complete the row, or leave the file out")
    return found


def checked(files: Sequence[Path], keys: Iterable[Key]) -> tuple[list[Answer], dict[str, Key]]:
    """All files' answers, and the keys by their studies' names.

    Raises BadInput, naming file and line, for a study of another kind or without a key (verbal studies need none), a question that the key
    does not know or knows other answers of, a participant who answers one question twice, or leaves one out.
    """
    known = {key.study: key for key in keys}
    found = [answer for path in files for answer in read_answers(path)]
    if not found:
        raise BadInput(f"{', '.join(map(str, files))}: no answers in there; name the files that the study's page saved")
    first: dict[tuple[str, str, str], Answer] = {}
    for answer in found:
        _judgeable(answer, known)
        twin = first.setdefault((answer.study, answer.participant, answer.question), answer)
        if twin is not answer:
            raise BadInput(
                f"{answer.where}: participant {answer.participant!r} answers {answer.question} again, after {twin.where}; "
                "keep one of them, or give two people two codes"
            )
    for study, participant in dict.fromkeys((study, participant) for study, participant, _ in first):
        questions = known[study].questions if study in known else ()
        if lost := [question for question in questions if (study, participant, question) not in first]:
            where = next(a.where for a in found if (a.study, a.participant) == (study, participant))
            raise BadInput(f"{where}: participant {participant!r} has no answer to {', '.join(lost)}; leave the file out, or find the rest")
    return found, known


def _judgeable(answer: Answer, known: Mapping[str, Key]) -> None:
    """Raises BadInput where no key can judge the answer."""
    if answer.kind not in KINDS:
        raise BadInput(f"{answer.where}: a study of kind {answer.kind!r}; the kinds are {', '.join(KINDS)}")
    if answer.study not in known:
        if answer.kind == "verbal" and not any(key.kind == "verbal" for key in known.values()):
            return
        given = f"; the keys given are of {', '.join(known)}" if known else ""
        raise BadInput(f"{answer.where}: belongs to study {answer.study}, whose key is missing{given}; name its key.json by --key")
    key = known[answer.study]
    if answer.kind != key.kind:
        raise BadInput(f"{answer.where}: says {answer.kind}, and study {answer.study} is of kind {key.kind}")
    if answer.question not in key.questions:
        raise BadInput(f"{answer.where}: study {answer.study} has no question {answer.question!r}; its last is {list(key.questions)[-1]}")
    if key.kind == "classification" and answer.answer not in ("A", "B"):
        raise BadInput(f"{answer.where}: the answer is {answer.answer!r}, not A or B")
