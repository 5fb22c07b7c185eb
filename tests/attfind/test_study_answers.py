"""Accuracies, intervals and words are counted right; a bad file of answers is named with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stylexport.attfind.evaluate.intervals import wilson
from stylexport.attfind.studies.student import quantile, student
from stylexport.attfind.studies.word_counts import common, words
from tests.conftest import run

HEADER = "study,kind,participant,question,answer,shown_s,answered_s"
FACTS = {"direction": 1, "coordinate": 72, "layer": "b8.conv0", "channel": 32, "target": 0}
OTHER = {"direction": 0, "coordinate": 40, "layer": "b4.conv", "channel": 40, "target": 0}
RIGHT = "ABBA"


def write_key(folder: Path) -> Path:
    """A classification study "c1" of four questions; the last is of kind direction."""
    questions = [
        {"id": f"q{i:02}", "kind": "direction" if i == 4 else "attribute", "answer": letter, "A": FACTS, "B": OTHER}
        for i, letter in enumerate(RIGHT, 1)
    ]
    path = folder / "key.json"
    path.write_text(json.dumps({"study": "c1", "format": 1, "kind": "classification", "questions": questions}))
    return path


def write_verbal_key(folder: Path) -> Path:
    questions = [{"id": "q01", "attribute": FACTS}, {"id": "q02", "attribute": OTHER}]
    path = folder / "verbal_key.json"
    path.write_text(json.dumps({"study": "v1", "format": 1, "kind": "verbal", "questions": questions}))
    return path


def write_answers(path: Path, participant: str, answers: str) -> Path:
    rows = [f"c1,classification,{participant},q{i:02},{letter},{i}.00,{i}.50" for i, letter in enumerate(answers, 1)]
    path.write_text("\r\n".join([HEADER, *rows, ""]))
    return path


def write_words(path: Path, participant: str, *answers: str) -> Path:
    rows = [f"v1,verbal,{participant},q{i:02},{answer},{i}.00,{i}.50" for i, answer in enumerate(answers, 1)]
    path.write_text("\r\n".join([HEADER, *rows, ""]))
    return path


def test_accuracy_is_a_mean_over_participants_with_both_deviations(tmp_path: Path) -> None:
    key = write_key(tmp_path)
    files = [write_answers(tmp_path / f"{name}.csv", name, said) for name, said in (("p1", "ABBA"), ("p2", "ABAA"), ("p3", "BBAA"))]
    found = json.loads(run("study", "analyse", *files, "--key", key, "--json").out)["classification"]
    assert [(p["name"], p["right"], p["total"]) for p in found["participants"]] == [("p1", 4, 4), ("p2", 3, 4), ("p3", 2, 4)]
    assert found["accuracy_mean"] == pytest.approx(0.75)
    assert found["accuracy_sd_sample"] == pytest.approx(0.25)
    assert found["accuracy_sd_population"] == pytest.approx(0.204124, abs=1e-6)
    assert found["accuracy_sd_attributes"] == pytest.approx((5 / 6 - 4 / 6) / 2)
    assert found["accuracy_interval_95_student"] == pytest.approx([0.75 - 4.303 * 0.25 / 3**0.5, 1.0], abs=1e-3)
    assert found["chance"] == 0.5
    assert [(k["name"], k["right"], k["total"]) for k in found["kinds"]] == [("attribute", 6, 9), ("direction", 3, 3)]
    assert [(a["name"], a["right"], a["total"]) for a in found["attributes"]] == [
        ("b4.conv, channel 40, to its minimum", 4, 6),
        ("b8.conv0, channel 32, to its maximum", 5, 6),
    ]
    assert (found["all_answers"]["right"], found["all_answers"]["total"]) == (9, 12)


def test_the_terminal_says_which_deviation_it_gives(tmp_path: Path) -> None:
    files = [write_answers(tmp_path / f"{name}.csv", name, said) for name, said in (("p1", "ABBA"), ("p2", "ABAA"))]
    out = run("study", "analyse", *files, "--key", write_key(tmp_path)).out
    assert "Accuracy 0.875 ± 0.177 (sample; population 0.125; over attributes 0.125), mean of 2 participants; chance is 0.5" in out


def test_one_participant_has_no_deviation_and_no_interval_of_the_mean(tmp_path: Path) -> None:
    file = write_answers(tmp_path / "p1.csv", "p1", "ABAA")
    found = json.loads(run("study", "analyse", file, "--key", write_key(tmp_path), "--json").out)["classification"]
    assert (found["accuracy_mean"], found["accuracy_sd_sample"], found["accuracy_interval_95_student"]) == (0.75, None, None)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],  # Newcombe 1998, table I
)
def test_wilson_gives_newcombes_intervals(hits: int, total: int, low: float, high: float) -> None:
    assert wilson(hits / total, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("freedom", "expected"), [(2, 4.303), (30, 2.042), (31, 2.0395), (40, 2.0211), (60, 2.0003), (120, 1.9799)])
def test_students_quantiles_are_those_of_the_tables(freedom: int, expected: float) -> None:
    assert quantile(freedom) == pytest.approx(expected, abs=1e-4)


def test_students_interval_of_one_value_is_none() -> None:
    assert student([0.8]) is None


def test_words_are_counted_by_lemma_once_an_answer_with_all_ties_shown() -> None:
    found = common(["thicker eyebrows, thick eyebrows", "an eyebrow", "the man's mouth is opening", "Mouth", "beard", "no change"], most=2)
    assert [(word.lemma, word.count, word.forms) for word in found] == [("eyebrow", 2, ("eyebrow", "eyebrows")), ("mouth", 2, ("mouth",))]
    found = common(["eyebrows", "eyebrow", "beard", "mouth"], most=2)
    assert [(word.lemma, word.count) for word in found] == [("eyebrow", 2), ("beard", 1), ("mouth", 1)]


def test_what_describes_nothing_is_no_word() -> None:
    assert words("It becomes much more of a change") == {}
    assert set(words("wearing GLASSES")) == {"wear", "glass"}


def test_verbal_answers_are_gathered_by_attribute_and_without_a_key_by_question(tmp_path: Path) -> None:
    files = [
        write_words(tmp_path / "p1.csv", "p1", '"lips, ""red"""', "darker hair"),
        write_words(tmp_path / "p2.csv", "p2", "red lip", "hair"),
    ]
    found = json.loads(run("study", "analyse", *files, "--key", write_verbal_key(tmp_path), "--json").out)
    assert found["classification"] is None
    assert [(d["attribute"], d["answers"]) for d in found["verbal"]] == [
        ("b4.conv, channel 40, to its minimum", 2),
        ("b8.conv0, channel 32, to its maximum", 2),
    ]
    assert found["verbal"][1]["words"] == [
        {"word": "lip", "count": 2, "written": ["lip", "lips"]},
        {"word": "red", "count": 2, "written": ["red"]},
    ]
    assert "q01 (2 answers): lip 2 (lip, lips); red 2" in run("study", "analyse", *files).out


@pytest.mark.parametrize(
    ("edit", "line", "said"),
    [
        (lambda text: text.replace("answer,shown_s", "reply,shown_s"), 1, "no column answer"),
        (lambda text: text.replace("q03", "q07"), 4, "has no question 'q07'"),
        (lambda text: text.replace("q02", "q01"), 3, "answers q01 again"),
        (lambda text: text.replace("q04,A", "q04,C"), 5, "is 'C', not A or B"),
        (lambda text: text.replace("q04,A", "q04,"), 5, "has no answer"),
        (lambda text: text.replace("c1,classification,p1,q02", "c2,classification,p1,q02"), 3, "study c2, whose key is missing"),
        (lambda text: text.replace("classification,p1,q03", "verbal,p1,q03"), 4, "says verbal"),
        (lambda text: text.replace("classification,p1,q03", "colour,p1,q03"), 4, "kind 'colour'"),
        (lambda text: text.replace("q02,B,2.00,2.50", "q02,B"), 3, "fewer fields"),
        (lambda text: "\r\n".join(text.splitlines()[:-1]), 2, "no answer to q04"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(edit: object, line: int, said: str, tmp_path: Path) -> None:
    file = write_answers(tmp_path / "p1.csv", "p1", RIGHT)
    assert callable(edit)
    file.write_text(edit(file.read_text()))
    found = run("study", "analyse", file, "--key", write_key(tmp_path))
    assert found.code == 2
    assert f"p1.csv, line {line}: " in found.one_line_error()
    assert said in found.one_line_error()


def test_one_participant_in_two_files_is_named_with_both(tmp_path: Path) -> None:
    first, second = (write_answers(tmp_path / f"{name}.csv", "p1", "ABBA") for name in ("first", "second"))
    error = run("study", "analyse", first, second, "--key", write_key(tmp_path)).one_line_error()
    assert "second.csv, line 2: participant 'p1' answers q01 again, after" in error
    assert "first.csv, line 2" in error


def test_classification_needs_its_key(tmp_path: Path) -> None:
    file = write_answers(tmp_path / "p1.csv", "p1", "ABBA")
    assert "name its key.json by --key" in run("study", "analyse", file).one_line_error()


KEYS = [f'{{"format": {number}, "study": "c1", "kind": "classification", "questions": []}}' for number in (1, 2)]


@pytest.mark.parametrize("text", ["", "{", "{}", *KEYS])
def test_what_is_no_key_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(text)
    error = run("study", "analyse", write_answers(tmp_path / "p1.csv", "p1", "ABBA"), "--key", tmp_path / "key.json").one_line_error()
    assert "name the key.json that lies beside the study's page" in error


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "p1.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    assert "p1.csv" in run("study", "analyse", tmp_path / "p1.csv").one_line_error()


def test_a_file_that_a_spreadsheet_saved_again_is_read(tmp_path: Path) -> None:
    file = write_answers(tmp_path / "p1.csv", "p1", "ABBA")
    file.write_text("\ufeff" + file.read_text().replace("\r\n", "\n"), encoding="utf-8")
    found = json.loads(run("study", "analyse", file, "--key", write_key(tmp_path), "--json").out)
    assert found["classification"]["accuracy_mean"] == 1.0


def test_analysing_loads_no_framework() -> None:
    program = "import stylexport.commands.study.analyse, stylexport.attfind.studies.analyse, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
