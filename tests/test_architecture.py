"""docs/architecture.md tells the truth: the files that it sends a reader to exist, and each known network is declared whole."""

from __future__ import annotations

import re

import pytest

from stylexport.torch_models.config import RELEASED
from stylexport.torch_models.kinds import KINDS, Lazy, NetworkKind
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NOT_YET = "resnet50"  # the example of a network to add


def test_every_file_that_the_page_names_exists() -> None:
    names = {name for name in re.findall(r"`([\w/]+\.py)`", PAGE) if NOT_YET not in name}
    assert len(names) > 15
    assert not [name for name in sorted(names) if not (ROOT / name).is_file()]


def test_a_question_is_answered_by_three_files_at_most() -> None:
    rows = [row for row in PAGE.split("## Where do I")[1].splitlines() if row.startswith("|") and "`" in row]
    assert len(rows) == 13
    assert not [row for row in rows if len(re.findall(r"`[\w/]+\.py`", row)) > 3]


def test_every_field_of_a_kind_is_explained() -> None:
    assert not [name for name in NetworkKind.__dataclass_fields__ if f"`{name}`" not in PAGE]


@pytest.mark.parametrize("architecture", KINDS)
@pytest.mark.tensorflow
def test_a_declaration_refers_to_what_is_there(architecture: str) -> None:
    kind = KINDS[architecture]
    references = {name: value for name in NetworkKind.__dataclass_fields__ if isinstance(value := getattr(kind, name), Lazy)}
    assert {"module", "recognition", "reference"} <= set(references)
    assert all(reference.load() is not None for reference in references.values())
    assert kind.module.load().config_class is kind.config


def test_the_released_architectures_are_known_in_their_roles() -> None:
    assert {role: KINDS[architecture].role for role, architecture in RELEASED.items()} == {role: role for role in RELEASED}
