"""The forms show what the key says and tell nothing of it; the answers are counted right, and bad files are named."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject, load_run
from stylexport.attfind.model import layer_of
from stylexport.attfind.select.attributes import Attribute, Selection, read_attributes, write_attributes
from stylexport.attfind.studies.animations import Change, best_images
from stylexport.attfind.studies.classification import classification
from stylexport.attfind.studies.verbal import verbal
from stylexport.common.errors import BadInput
from tests.attfind.studied import CHOSEN, Array, key_of, make_run, page_data, pixels
from tests.conftest import DEMO, run


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, converted: Path) -> Path:
    return make_run(tmp_path_factory.mktemp("studies") / "run", converted, DEMO / "digits.npz")


@pytest.fixture(scope="module")
def subject(measured: Path) -> Subject:
    return load_run(measured)


@pytest.fixture(scope="module")
def form(subject: Subject, measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classification form of 13 questions of both kinds."""
    out = tmp_path_factory.mktemp("form")
    classification(subject, read_attributes(measured), out, questions=13, kind="both", seed=3)
    return out


def test_the_page_holds_pictures_and_questions_and_nothing_of_the_key(form: Path) -> None:
    data = page_data(form)
    assert set(data) == {"study", "kind", "columns", "questions", "pictures"}
    assert all(set(question) == {"id", "places"} and set(question["places"]) == {"A", "B", "asked"} for question in data["questions"])
    assert "coordinate" not in (form / "index.html").read_text()


def test_the_seed_decides_every_byte(subject: Subject, measured: Path, form: Path, tmp_path: Path) -> None:
    chosen = read_attributes(measured)
    again = classification(subject, chosen, tmp_path / "again", questions=13, kind="both", seed=3)
    other = classification(subject, chosen, tmp_path / "other", questions=13, kind="both", seed=4)
    for name in ("index.html", "key.json"):
        assert (tmp_path / "again" / name).read_bytes() == (form / name).read_bytes()
    assert again.name != other.name
    assert [q["answer"] for q in key_of(form)["questions"]] != [q["answer"] for q in key_of(tmp_path / "other")["questions"]]


def test_right_answers_and_kinds_are_in_halves_and_every_pair_is_asked_as_often(form: Path) -> None:
    questions = key_of(form)["questions"]
    assert sorted(Counter(q["answer"] for q in questions).values()) == [6, 7]
    assert Counter(q["kind"] for q in questions) == {"attribute": 7, "direction": 6}
    pairs = Counter(frozenset((q["A"]["coordinate"], q["B"]["coordinate"])) for q in questions if q["kind"] == "attribute")
    assert set(pairs) == {frozenset(pair) for pair in itertools.combinations([c for c, _, _ in CHOSEN], 2)}
    assert sorted(pairs.values()) == [1, 1, 1, 1, 1, 2]


def test_the_two_directions_of_one_coordinate_are_told_apart(form: Path) -> None:
    for question in key_of(form)["questions"]:
        a, b = question["A"], question["B"]
        if question["kind"] == "direction":
            assert a["coordinate"] == b["coordinate"]
            assert {a["direction"], b["direction"]} == {0, 1}


def test_a_questions_images_differ_and_are_those_where_the_attribute_works_best(form: Path, subject: Subject) -> None:
    for question in key_of(form)["questions"]:
        images = question["images"]
        everything = [*images["asked"], *images["A"], *images["B"]]
        assert [len(images[place]) for place in ("asked", "A", "B")] == [1, 2, 2]
        assert len(set(everything)) == 5
        for place in ("A", "B", "asked"):
            facts = question[question["answer"] if place == "asked" else place]
            gains = subject.effects.effects[:, facts["direction"], facts["coordinate"]]
            gain = np.abs(gains).max(1) if facts["target"] is None else gains[:, facts["target"]]
            gain = np.where(subject.effects.classes == facts["target"], -np.inf, gain)
            assert set(images[place]) <= set(np.argsort(-gain)[:10].tolist())
            assert facts["target"] not in subject.effects.classes[images[place]]


def test_every_animation_is_the_reconstruction_and_the_same_with_the_keys_coordinate_moved(form: Path, subject: Subject) -> None:
    data, key, effects = page_data(form), key_of(form), subject.effects
    for shown, question in list(zip(data["questions"], key["questions"], strict=True))[:5]:
        for place in ("A", "B", "asked"):
            facts = question[question["answer"] if place == "asked" else place]
            ends = (effects.style_min, effects.style_max)
            for (before, after), image in zip(shown["places"][place], question["images"][place], strict=True):
                latent = torch.from_numpy(effects.latents[image])
                value = torch.tensor([ends[facts["direction"]][facts["coordinate"]]])
                with torch.no_grad():
                    layer = layer_of(subject.model.layers, facts["coordinate"])
                    moved = subject.model.editor(latent).change(layer, [facts["coordinate"]], value)[0]
                    whole = subject.model.decode(latent[None])[0]
                for picture, expected in ((before, whole), (after, moved)):
                    assert np.abs(pixels(data["pictures"][picture]) - (expected.numpy() + 1) * 127.5).max() <= 0.51


def seen(effects: Array, own: list[int], done: list[int], about: dict[str, Any]) -> Effects:
    """Effects of images of these classes."""
    return Effects(effects, np.eye(2, dtype=np.float32)[own], *(np.zeros(1),) * 4, done=np.array(done, bool), about=about)


def test_best_images_are_those_of_other_classes_whose_target_logit_rises_most_among_the_measured() -> None:
    effects = np.zeros((6, 2, 3, 2), np.float32)
    effects[:, 1, 2, 0] = [0.5, -3.0, 2.0, 0.7, 9.0, 8.0]
    effects[:, 1, 2, 1] = [0.1, 0.2, -0.3, -4.0, 0.0, 0.3]
    found = seen(effects, [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1], {})
    assert best_images(found, Change(1, 2, "b4.conv", 2, 0), 3, 3) == (2, 3, 0)
    assert best_images(found, Change(1, 2, "b4.conv", 2, 1), 3, 1) == (5,)
    assert best_images(found, Change(1, 2, "b4.conv", 2, None), 3, 3) == (5, 3, 1)


def test_of_a_screened_run_a_study_takes_images_where_the_change_was_measured() -> None:
    effects = np.zeros((4, 2, 3, 2), np.float32)
    effects[:, 1, 2] = [[1, 0], [2, 0], [0, 3], [0, 4]]
    found = seen(effects, [0, 0, 1, 1], [1, 1, 1, 1], {"screening": {"entries": {"0": [1 * 3 + 2], "1": []}}})
    assert best_images(found, Change(1, 2, "b4.conv", 2, None), 4, 1) == (3, 2)
    with pytest.raises(BadInput, match=r"needs 1 images .* coordinate 2 to its maximum was .* the run has 0; search exhaustively"):
        best_images(found, Change(1, 2, "b4.conv", 2, 1), 4, 1)


def test_the_verbal_form_asks_of_each_attribute_once_with_its_best_images(subject: Subject, measured: Path, tmp_path: Path) -> None:
    verbal(subject, read_attributes(measured), tmp_path, examples=3, seed=2)
    questions = key_of(tmp_path)["questions"]
    assert sorted(q["attribute"]["coordinate"] for q in questions) == sorted(c for c, _, _ in CHOSEN)
    assert [q["attribute"]["coordinate"] for q in questions] != [c for c, _, _ in CHOSEN]
    for question in questions:
        facts = question["attribute"]
        gain = subject.effects.effects[:, facts["direction"], facts["coordinate"], facts["target"]]
        gain = np.where(subject.effects.classes == facts["target"], -np.inf, gain)
        assert question["images"] == np.argsort(-gain)[:3].tolist()
    assert set(page_data(tmp_path)["questions"][0]) == {"id", "places"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["classification", "--attributes", "5"], "4 attributes are selected, not 5"),
        (["classification", "--examples", "7"], "needs 15 images of another class than its target"),
        (["classification", "--attributes", "1"], "one attribute cannot be distinguished from others"),
        (["verbal", "--examples", "25"], "needs 25 images of another class than its target"),
        (["verbal", "--model", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(options: list[str], said: str, measured: Path, tmp_path: Path) -> None:
    found = run("study", *options[:1], measured, "-o", tmp_path / "out", *options[1:])
    assert found.code == 2
    assert said in found.one_line_error()
    assert not (tmp_path / "out").exists()


def test_attributes_of_another_run_make_no_study(measured: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(measured, tmp_path / "run")
    write_attributes(copy, Selection((Attribute(1, 999, "b64.conv0", 3, 1.0, 0),), {}))
    ran = run("study", "verbal", copy, "-o", tmp_path / "out")
    assert (ran.code, "it was selected from another run" in ran.one_line_error()) == (2, True)


def test_a_run_without_a_selection_is_told_to_select(measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured, tmp_path / "run")
    (tmp_path / "run" / "attributes.json").unlink()
    assert "stylexport attfind select" in run("study", "verbal", tmp_path / "run", "-o", tmp_path / "out").one_line_error()
