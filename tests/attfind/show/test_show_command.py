"""`attfind show` and `attfind evaluate` on a run of the embedded release."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.attfind.finished import WHERE, finished
from tests.conftest import run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, converted: Path) -> Path:
    return finished(tmp_path_factory.mktemp("attfind") / "run", converted)


@pytest.fixture(autouse=True)
def without_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    """LPIPS would fetch its weights."""
    monkeypatch.setitem(sys.modules, "lpips", None)


def test_show_writes_one_page_that_needs_nothing_else(done: Path) -> None:
    ran = run("attfind", "show", done, "--images", "2", "--frames", "3")
    assert (ran.code, ran.err) == (0, "")
    page = (done / "show" / "index.html").read_text()
    assert len(re.findall(r'<section class="attribute" id="attribute-\d"', page)) == 3
    assert page.count('<div class="example">') == 6
    assert all(link.startswith(("data:image/", "#")) for link in re.findall(r'(?:src|href)="([^"]*)"', page))
    assert [(layer, int(channel)) for layer, channel in re.findall(r"<code>([^<]*)</code>, channel (\d+)", page)] == list(WHERE)


def test_show_writes_sheets_and_animations(done: Path, tmp_path: Path) -> None:
    options = ["--format", "png", "--format", "gif", "--top", "2", "--images", "2", "--frames", "3", "--json"]
    ran = run("attfind", "show", done, *options, "-o", tmp_path / "new" / "folder")
    names = [Path(name).name for name in json.loads(ran.out)["files"]]
    assert names == ["attribute-01.png", "attribute-02.png", "attribute-01.gif", "attribute-02.gif"]
    with Image.open(tmp_path / "new" / "folder" / "attribute-02.gif") as gif:
        assert (gif.size, gif.n_frames) == ((2 * 128 + 6, 128), 4)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(names)


def test_evaluate_writes_its_numbers_and_a_page(done: Path) -> None:
    ran = run("attfind", "evaluate", done, "--top", "2", "--random", "2", "--json")
    assert ran.code == 0
    values = json.loads(ran.out)
    assert values == json.loads((done / "evaluation.json").read_text())
    assert (values["images"], values["top"], values["random"]) == (4, 2, {"rankings": 2, "seed": 0})
    assert set(values["sufficiency"]) == {"attributes", "random", "variance"}
    assert values["change"]["attributes"]["l1"][0] > 0
    page = (done / "evaluation.html").read_text()
    assert page.count('class="point"') == 2 * 3 * page.count("<figure>")
    assert not re.findall(r'(?:src|href)="', page)


def test_evaluate_says_the_table(done: Path) -> None:
    ran = run("attfind", "evaluate", done, "--top", "1", "--random", "1")
    assert ran.code == 0
    assert "4 images, attributes: 1 towards 8 and 1 towards 9; share whose class changes" in ran.out
    assert f"wrote {done / 'evaluation.html'}" in ran.out


def test_evaluate_moves_the_list_of_one_class_where_it_is_named(done: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(done, tmp_path / "run")
    values = json.loads(run("attfind", "evaluate", copy, "--target-class", "8", "--json").out)
    assert (values["attributes"], values["top"]) == ({"8": 2}, 2)
    assert {row["goal"] for row in values["least"]["images"]} == {"8"}
    chosen = json.loads((copy / "attributes.json").read_text())
    del chosen["by_class"]["0"]
    (copy / "attributes.json").write_text(json.dumps(chosen))
    ran = run("attfind", "evaluate", copy, "--target-class", "8")
    assert (ran.code, "no list towards 8 is selected (there are: 9)" in ran.one_line_error()) == (2, True)


def test_without_attributes_one_line_says_what_to_do(done: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(done, tmp_path / "run")
    (copy / "attributes.json").unlink()
    for command in ("show", "evaluate"):
        ran = run("attfind", command, copy)
        assert ran.code == 2
        assert "stylexport attfind select" in ran.one_line_error()


def test_a_model_that_is_elsewhere_is_asked_for(done: Path, tmp_path: Path, converted: Path) -> None:
    ran = run("attfind", "show", done, "--model", tmp_path / "none")
    assert ran.code == 2
    assert "--model" in ran.one_line_error()


def test_another_model_is_refused(done: Path, tmp_path: Path, converted: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(converted, tmp_path / "other")
    weights = other / "generator" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("b8.conv0.weight"))
    save_file(tensors | {name: tensors[name] * torch.tensor(1.001)}, weights)
    ran = run("attfind", "evaluate", done, "--model", other)
    assert ran.code == 2
    assert "was measured with another model" in ran.one_line_error()
