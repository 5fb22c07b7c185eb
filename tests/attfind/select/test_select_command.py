"""`stylexport attfind select`, with the networks of the embedded release where they are asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylexport.attfind import Effects, find_attributes
from stylexport.attfind.effects.load_run import load_run
from stylexport.attfind.select.attributes import read_attributes
from stylexport.attfind.select.network_checks import discriminator_of, logits_of_styles
from stylexport.attfind.select.rules import Rules
from stylexport.attfind.select.select import select
from stylexport.common.errors import DamagedFile
from tests.attfind.finished import WHERE, finished
from tests.conftest import run


@pytest.fixture(scope="module")
def begun(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("finished") / "run", converted, images=12)


@pytest.fixture
def folder(begun: Path, tmp_path: Path) -> Path:
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


def selected(folder: Path, *options: str | Path) -> dict[str, Any]:
    ran = run("attfind", "select", folder, *options, "--json")
    assert ran.code == 0, ran.err
    values: dict[str, Any] = json.loads(ran.out)
    return values


def test_attributes_json_holds_what_is_found_and_what_it_went_by(folder: Path) -> None:
    values = selected(folder, "--target-class", "9", "--top", "3", "--threshold", "20")
    found = find_attributes(Effects.load(folder), 1, top=3, threshold=20)
    assert json.loads((folder / "attributes.json").read_text()) == values
    assert [(a["direction"], a["coordinate"]) for a in values["attributes"]] == [(a.direction, a.coordinate) for a in found]
    assert read_attributes(folder).attributes == tuple(found)
    assert read_attributes(folder).by_class == {1: tuple(found)}
    assert read_attributes(folder).measured_on == Effects.load(folder).digests
    assert (values["format"], values["strategy"], values["target"], values["search"]) == (1, "global", 1, "exhaustive")
    assert values["parameters"]["threshold"] == {"value": 20.0, "from": "chosen"}
    assert values["parameters"]["unstable_entries"] == {"value": 750, "from": "the authors"}


def test_both_classes_are_combined_by_default_with_the_authors_threshold(folder: Path) -> None:
    values = selected(folder)
    assert values["target"] is None
    assert values["parameters"]["threshold"] == {"value": 1.0, "from": "the authors, combined"}
    assert {a["target"] for a in values["attributes"]} == {0}
    assert selected(folder, "--target-class", "1")["parameters"]["threshold"] == {"value": 0.5, "from": "the authors, one against all"}


def test_what_people_read_names_layer_channel_and_label(folder: Path) -> None:
    ran = run("attfind", "select", folder, "--target-class", "8", "--top", "1", "--threshold", "20")
    found = find_attributes(Effects.load(folder), 0, top=1, threshold=20)[0]
    direction = ("minimum", "maximum")[found.direction]
    line = f"1 to {direction} {found.coordinate} {found.layer} {found.channel} {found.score:.4f} 8"
    assert ran.out.splitlines()[1].split() == line.split()


def test_a_subset_is_measured_on_the_model_and_flips_what_the_model_sees(folder: Path) -> None:
    image = 2
    values = selected(folder, "--strategy", "subset", "--image", str(image), "--top", "30", "--candidates", "400")
    subject = load_run(folder)
    run_effects = subject.effects
    own, flipped = int(run_effects.classes[image]), None
    model = subject.model
    with torch.no_grad():
        editor = model.editor(torch.from_numpy(run_effects.latents[image]))
        styles = run_effects.styles[image].copy()
        seen = []
        for a in values["attributes"]:
            styles[a["coordinate"]] = (run_effects.style_min, run_effects.style_max)[a["direction"]][a["coordinate"]]
            logits = subject.classify(editor.render(torch.from_numpy(styles)[None]))[0]
            seen.append(float(logits[1 - own]))
            flipped = int(logits.argmax()) == 1 - own
    assert values["target"] == 1 - own
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert flipped is not ("has not flipped" in " ".join(values["remarks"]))
    added = selected(folder, "--strategy", "subset", "--image", str(image), "--add-effects")
    assert "no model was asked" in " ".join(added["remarks"])


def test_styles_as_they_are_have_the_runs_logits(folder: Path) -> None:
    subject = load_run(folder)
    found = logits_of_styles(subject)(3, subject.effects.styles[[3, 3]])
    np.testing.assert_allclose(found, subject.effects.base_logits[[3, 3]], atol=1e-4)


def test_the_discriminators_change_is_its_score_of_the_changed_image_less_that_of_the_reconstruction(folder: Path) -> None:
    subject = load_run(folder)
    effects, image, (layer, channel) = subject.effects, 4, WHERE[0]
    assert layer == "b8.conv0"
    generator, judge = subject.model.stylex.generator, subject.model.stylex.discriminator
    with torch.no_grad():
        dlatent = torch.from_numpy(effects.latents[image])[None]
        conv, torgb = generator.style_vectors(dlatent)
        conv = [style.clone() for style in conv]
        coordinate = conv[0].shape[1] + channel  # b8.conv0 comes after b4.conv1
        conv[1][0, channel] += 2 * (effects.style_max[coordinate] - effects.styles[image, coordinate])
        changed = generator.synthesis(type(generator.style_vectors(dlatent))(tuple(conv), torgb)).clamp(-1, 1)
        expected = float(judge(changed, dlatent[:, -2:]) - judge(generator(dlatent).clamp(-1, 1), dlatent[:, -2:]))
    assert abs(expected) > 1e-3
    assert discriminator_of(subject)(image, coordinate, 1, 2.0) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_embedded_discriminator_rejects_what_it_is_moved_by(folder: Path) -> None:
    subject = load_run(folder)
    ask, rules = discriminator_of(subject), Rules(threshold=40)
    found = select(subject.effects, 1, top=24, discriminator=ask, rules=rules)
    images = np.flatnonzero(subject.effects.classes != 1)

    def passes(direction: int, coordinate: int) -> bool:
        moved = [int(i) for i in images if subject.effects.effects[i, direction, coordinate, 1] > 0.2]
        return all(abs(ask(i, coordinate, direction, 2.0)) <= rules.discriminator_change for i in moved[:10])

    without = select(subject.effects, 1, top=24, rules=rules)
    rejected = {(a.direction, a.coordinate) for a in without} - {(a.direction, a.coordinate) for a in found}
    assert rejected
    assert not any(passes(*pair) for pair in rejected)
    assert all(passes(a.direction, a.coordinate) for a in found)
    assert "the discriminator's score moved too far" in " ".join(found.remarks)


def test_with_the_discriminator_the_parameters_say_how_it_was_asked(folder: Path) -> None:
    values = selected(folder, "--target-class", "9", "--discriminator", "--top", "2")
    asked = {name: row for name, row in values["parameters"].items() if name.startswith("discriminator")}
    assert asked == {
        "discriminator_images": {"value": 10, "from": "the authors"},
        "discriminator_shift": {"value": 2.0, "from": "the authors"},
        "discriminator_change": {"value": 0.2, "from": "the authors"},
    }


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--target-class", "cat"], "labels are 8 (0), 9 (1)"),
        (["--strategy", "subset", "--image", "12"], "images 0 to 11"),
        (["--strategy", "subset", "--image", "2", "--model", "nowhere"], "no such folder; name a converted one (MODEL, or --model DIR)"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_line(folder: Path, options: list[str], why: str) -> None:
    ran = run("attfind", "select", folder, *options)
    assert ran.code == 2
    assert why in ran.one_line_error()


@pytest.mark.parametrize(
    "options",
    [
        ["--threshold", "1", "--strategy", "image-fraction"],
        ["--image", "2"],
        ["--strategy", "independent"],
        ["--add-effects"],
    ],
)
def test_options_that_do_not_go_together_are_refused(folder: Path, options: list[str]) -> None:
    ran = run("attfind", "select", folder, *options)
    assert ran.code == 2
    assert "--strategy" in ran.err


@pytest.mark.parametrize(
    "row",
    [
        {"direction": 2, "coordinate": 1, "layer": "b4.conv1", "channel": 1, "score": 0.5, "target": 0},
        {"direction": 1, "coordinate": -1, "layer": "b4.conv1", "channel": 1, "score": 0.5, "target": 0},
        {"direction": 1, "coordinate": 1, "layer": "b4.conv1", "score": 0.5, "target": 0},
        {"direction": 1, "coordinate": 1, "layer": "b4.conv1", "channel": 1, "score": float("nan"), "target": 0},
    ],
)
def test_attributes_that_are_none_are_refused_with_the_file_and_the_remedy(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "attributes.json").write_text(json.dumps({"format": 1, "strategy": "global", "attributes": [row], "by_class": {}}))
    with pytest.raises(DamagedFile, match=r"attributes\.json.*attfind select"):
        read_attributes(tmp_path)
