"""The demo converts, compares and shows; a port that is another function is seen and said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from stylexport import demonstration
from tests.conftest import run


def test_the_demo_agrees_with_tensorflow(tmp_path: Path) -> None:
    ran = run("demo", "-o", tmp_path / "demo", "--json")
    found = json.loads(ran.out)
    assert ran.code == 0
    assert {(r["network"], r["output"]) for r in found["rows"]} >= {("generator", "image"), ("encoder", "w"), ("discriminator", "score")}
    assert found["digits"]["same_answers"] == found["digits"]["count"] > 1900
    assert found["digits"]["right_answers"] >= 0.99 * found["digits"]["count"]
    page = (tmp_path / "demo" / "index.html").read_text()
    assert not re.search(r"(src|href)=.?(https?:)?//", page), "the page must open without a network"
    assert "the same function" in page


def test_a_port_that_is_another_function_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = demonstration._run

    def shifted(*arguments: object) -> dict[str, np.ndarray]:
        outputs = whole(*arguments)  # type: ignore[arg-type]
        return {**outputs, "encoder.w": outputs["encoder.w"] * 1.0001}

    monkeypatch.setattr(demonstration, "_run", shifted)
    ran = run("demo", "-o", tmp_path / "demo")
    assert ran.code == 1
    assert "NOT the same function" in ran.out
