"""The demo converts, proves and shows; a port that is another function is seen and said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stylexport import demonstration
from stylexport.torch_models import StylEx
from tests.conftest import run

FILES = ("index.html", "parity/index.html", "parity/junit.xml", "parity/report.json")


def test_the_demo_proves_the_embedded_release(tmp_path: Path) -> None:
    ran = run("demo", "-o", tmp_path / "demo", "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["passed"], found["verdict"]) == (0, True, "pass")
    assert found["coverage"]["matched"] == found["coverage"]["taps"] >= 149
    assert found["digits"]["same_answers"] == found["digits"]["count"] == 1983
    assert found["digits"]["right_answers"] >= 0.99 * 1983
    report = json.loads((tmp_path / "demo" / "parity" / "report.json").read_text())
    assert {layer["network"] for layer in report["layers"]} >= {"generator", "encoder", "discriminator", "classifier"}
    assert report["about"]["settings"]["samples"] == 8


def test_it_ends_with_the_report_page_and_needs_no_tensorflow(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['tensorflow'] = None\n"
        f"sys.argv = ['stylexport', 'demo', '-o', {str(tmp_path)!r}]\n"
        "from stylexport.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "pass: the same function"
    assert lines[-2:] == [f"The demo: {tmp_path / 'index.html'}", f"Its proof, layer by layer: {tmp_path / 'parity' / 'index.html'}"]
    assert all((tmp_path / name).is_file() for name in FILES)
    page = (tmp_path / "index.html").read_text()
    assert not re.search(r"(src|href)=.?(https?:)?//", page), "the page must open without a network"
    assert '<a href="parity/index.html">' in page
    assert ">the same function<" in page
    assert "NOT" not in page


def test_a_port_with_one_wrong_number_fails_and_the_layer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "convert", _then(demonstration.convert, _change_a_weight))
    ran = run("demo", "-o", tmp_path)
    assert ran.code == 1
    assert "first fault: encoder b16.conv0: weight_value" in ran.out
    page = (tmp_path / "index.html").read_text()
    assert "NOT the same function" in page
    assert "The first is the encoder's <code>b16.conv0</code>: weight_value." in page


def test_a_digit_with_another_answer_fails_though_the_proof_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    through = demonstration._through

    def swapped(stylex: StylEx, images: torch.Tensor) -> dict[str, np.ndarray]:
        found = through(stylex, images)
        logits = found["digit_logits_torch"].copy()
        logits[7] = logits[7, ::-1]
        return {**found, "digit_logits_torch": logits}

    monkeypatch.setattr(demonstration, "_through", swapped)
    ran = run("demo", "-o", tmp_path)
    assert ran.code == 1
    assert "pass: the same function" in ran.out
    assert "1,982 of 1,983 held-out digits get TensorFlow's answer" in ran.out


def _then(convert: Callable[..., object], change: Callable[[Path], None]) -> Callable[..., None]:
    def both(release: Path, out: Path, **options: object) -> None:
        convert(release, out, **options)
        change(out)

    return both


def _change_a_weight(converted: Path) -> None:
    path = converted / "encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors["b16.conv0.weight"][3, 5, 1, 2] += 0.25
    save_file(tensors, path)
