"""The registry names what was released, and says what is not known of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stylexport.checkpoints.registry import load_registry, select
from stylexport.common.errors import BadInput


def test_the_release_has_six_files_under_the_names_of_its_bucket() -> None:
    assert {name: entry.filename for name, entry in load_registry().items()} == {
        "celeb_a_age/generator": "generator.savedmodel.zip",
        "celeb_a_age/encoder": "encoder.savedmodel.zip",
        "celeb_a_age/discriminator": "discriminator.savedmodel.zip",
        "celeb_a_age/classifier": "mobilenet.savedmodel.zip",
        "celeb_a_age/dlatents": "dlatents.pkl",
        "celeb_a_age/effects": "examples_1.tfrecord",
    }


def test_every_entry_says_where_it_lies_what_it_is_and_that_no_licence_is_stated() -> None:
    for entry in load_registry().values():
        assert entry.url.startswith("https://storage.googleapis.com/explaining-in-style/celeb_a_age/")
        assert entry.what
        assert "none stated" in entry.licence
        assert (entry.sha256 is None) == (entry.size is None)


def test_a_release_stands_for_its_files_and_each_comes_once() -> None:
    registry = load_registry()
    assert [entry.name for entry in select(["celeb_a_age"], registry)] == list(registry)
    chosen = select(["celeb_a_age/effects", "celeb_a_age/", "celeb_a_age/effects"], registry)
    assert chosen[0].name == "celeb_a_age/effects"
    assert len(chosen) == 6


@pytest.mark.parametrize("name", ["celeb_a", "celeb_a_age/gen", "", "generator"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(BadInput, match="it holds celeb_a_age, celeb_a_age/generator"):
        select([name], load_registry())


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"url": "https://x/y"}}', "{" * 100_000])
def test_a_broken_registry_is_bad_input(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(BadInput, match="a registry is JSON: name -> "):
        load_registry(tmp_path / "r.json")


@pytest.mark.parametrize("end", ["", "..", "%2e%2e", "a%5Cb"])
def test_an_address_that_names_no_file_or_another_folder_is_refused(tmp_path: Path, end: str) -> None:
    row = {"url": f"https://host/folder/{end}", "size": None, "sha256": None, "what": "w", "licence": "l"}
    (tmp_path / "r.json").write_text(json.dumps({"a": row}))
    with pytest.raises(BadInput, match="names no file"):
        load_registry(tmp_path / "r.json")
