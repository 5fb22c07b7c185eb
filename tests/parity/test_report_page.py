"""The report for people: the page opens without a network and shows what was found; the terminal says it in a screenful."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from stylexport.parity.report import pictures, plot, print_tree, write
from stylexport.parity.report.words import because
from stylexport.parity.result import Loss, Maps, Report
from stylexport.parity.verdict import NUMERIC
from tests.parity.reports import FAULTY, clean, faulty
from tests.parity.test_report import HOSTILE, renamed

VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}
SEPARATE = {"td", "th", "dt", "dd", "h1", "h2", "p", "small", "tr"}
SHAPES = {"circle", "rect", "path", "line", "polygon", "polyline"}


class Page(HTMLParser):
    """A page's elements and its text; an element that is not closed in its place is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in SEPARATE:
            self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SHAPES
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [str(attributes[name]) for _, attributes in self.elements if name in attributes]


def page(report: Report, folder: Path) -> Page:
    write(report, folder)
    return Page((folder / "index.html").read_text())


def terminal(report: Report, width: int = 100) -> str:
    out = io.StringIO()
    print_tree(report, Console(file=out, width=width))
    return out.getvalue()


def pixels(uri: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"), np.int64)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("report", [clean(), faulty(), renamed(faulty(), HOSTILE)], ids=["clean", "faulty", "hostile"])
def test_the_page_is_whole_and_fetches_nothing(report: Report, tmp_path: Path) -> None:
    found = page(report, tmp_path)
    assert all(source.startswith("data:image/png;base64,") for source in found.values("src"))
    assert all(link.startswith("#") for link in found.values("href"))
    assert not re.search(r"@import|url\(", (tmp_path / "index.html").read_text())
    assert "script" not in {tag for tag, _ in found.elements}


@pytest.mark.parametrize("report", [clean(), faulty()], ids=["clean", "faulty"])
def test_every_link_leads_to_a_layer(report: Report, tmp_path: Path) -> None:
    found = page(report, tmp_path)
    assert {link.removeprefix("#") for link in found.values("href")} <= set(found.values("id"))
    assert sum(name.startswith("layer-") for name in found.values("id")) == len(report.layers)


def test_the_page_tells_the_first_fault(tmp_path: Path) -> None:
    text = words(page(faulty(), tmp_path).text)
    assert "fault: a different function" in text
    assert "First fault: kernel_flipped in the generator layer synthesis.b32.conv0" in text
    assert "found weight is flipped in both axes remedy do not flip the kernel" in text
    assert "with this put right 3.4e-10 is left; with the next best explanation, kernel_transposed_hw, 4.1e-01" in text


def test_the_page_of_a_clean_port_tells_what_it_does_not_prove(tmp_path: Path) -> None:
    text = words(page(clean(), tmp_path).text)
    assert "pass: the same function" in text
    assert "First fault" not in text
    assert "Passes that prove nothing" in text
    assert "encoder b8.conv1 bias is all zeros; noise_strength is zero: the noise is not seen" in text


def test_the_page_says_what_was_compared(tmp_path: Path) -> None:
    text = words(page(clean(), tmp_path).text)
    assert "versions › tensorflow 2.21.0" in text
    assert "release › generator.savedmodel.zip 5d41402abc4b2a76" in text
    assert "settings › inputs latents, images" in text


def test_a_user_s_network_without_pictures_has_a_page(tmp_path: Path) -> None:
    report = clean()
    bare = dataclasses.replace(report, layers=report.layers[:1], gates=(), about={}, pictures=type(report.pictures)())
    assert "What comes out" not in page(bare, tmp_path).text


def test_a_report_without_layers_has_a_page(tmp_path: Path) -> None:
    assert "incomplete" in page(dataclasses.replace(clean(), layers=(), matched=0), tmp_path).text


def test_the_plot_has_three_marks_a_layer_and_names_the_faulty(tmp_path: Path) -> None:
    drawn = {found.network: found for found in plot.plots(faulty())}
    assert len(drawn["discriminator"].marks) == 3 * 29
    assert [name.text for name in drawn["generator"].names] == [FAULTY]
    assert sum(mark.fault for mark in drawn["generator"].marks) == 3
    assert drawn["discriminator"].names == ()


def test_ten_times_the_error_stands_a_decade_higher() -> None:
    layer = dataclasses.replace(clean().layers[0], alone=2e-9, error64=2e-8, error32=2e-6, floor=1e-7)
    found = plot.plots(dataclasses.replace(clean(), layers=(layer,)))[0]
    at = {mark.series: mark.y for mark in found.marks}
    decade = found.decades[0][0] - found.decades[1][0]
    assert at["alone"] - at["error64"] == pytest.approx(decade, abs=0.2)
    assert at["error64"] - at["error32"] == pytest.approx(2 * decade, abs=0.2)


@pytest.mark.parametrize(("shape", "allowed"), [((4, 250), 8), ((4, 249), 16)])
def test_the_band_reaches_from_the_floor_to_what_rounding_explains(shape: tuple[int, ...], allowed: int) -> None:
    layer = dataclasses.replace(clean().layers[0], shape=shape, alone=1e-10, error64=1e-10, floor=1e-7, error32=1e-7 * allowed)
    found = plot.plots(dataclasses.replace(clean(), layers=(layer,)))[0]
    heights = {float(point.split(",")[1]) for point in found.band.split()}
    assert min(heights) == next(mark.y for mark in found.marks if mark.series == "error32")
    assert max(heights) == found.limit  # the floor here is the limit alone: 1e-7


def test_what_is_not_finite_stands_on_the_upper_edge_and_zero_on_the_lower() -> None:
    layer = dataclasses.replace(clean().layers[0], alone=0.0, error64=math.nan, error32=math.inf)
    at = {mark.series: mark.y for mark in plot.plots(dataclasses.replace(clean(), layers=(layer,)))[0].marks}
    assert at == {"alone": plot.FRAME.bottom, "error64": plot.FRAME.top, "error32": plot.FRAME.top}


def test_the_border_is_the_brightest_in_the_map() -> None:
    border, worst = pictures.heats(faulty().pictures.maps)
    grey = pixels(border.picture).sum(2)
    scale = grey.shape[0] // 16
    assert grey.shape == (16 * scale, 24 * scale)
    assert grey[0, 5 * scale] == grey.max() > grey[5 * scale, 0] > grey[3 * scale, 7 * scale] > grey[8 * scale, 8 * scale] == grey.min()
    assert (border.high, worst.name) == ("5.0e-01", "channel 5, the worst")


def test_what_is_not_finite_is_magenta_in_the_map() -> None:
    values = np.full((4, 6), 0.25)
    values[1, 2] = np.inf
    heat = pictures.heats(Maps("conv", 0, np.array([np.inf]), values, None))[0]
    scale = pixels(heat.picture).shape[0] // 4
    assert pixels(heat.picture)[scale, 2 * scale].tolist() == [255, 0, 255]
    assert (heat.lost, heat.high) == (True, "2.5e-01")


def test_channels_that_differ_are_counted() -> None:
    assert pictures.channels(faulty().pictures.maps) == "3 of 6 channels differ; the worst is channel 5, by 9.0e-01 of its size."


def shifted(by: float) -> Report:
    """A report with one grey image, of which PyTorch's lowest left pixel is brighter by so much."""
    theirs = np.zeros((1, 3, 8, 8))
    ours = theirs.copy()
    ours[0, :, 7, 0] += by
    return dataclasses.replace(clean(), pictures=dataclasses.replace(clean().pictures, images_tf=theirs, images_torch=ours))


@pytest.mark.parametrize(("by", "times", "level"), [(3e-7, "2,000,000", 204), (-0.3, "2", 51), (0.0, "0", 128)])
def test_the_difference_is_magnified_as_far_as_the_picture_s_range_goes(by: float, times: str, level: int) -> None:
    found = pictures.side_by_side(shifted(by))
    assert found is not None
    assert found.magnified == times
    assert pixels(found.samples[0].difference)[-1, 0].tolist() == [level] * 3


def test_another_answer_is_seen_among_many_labels() -> None:
    theirs = np.array([[0.05, 0.3, 0.1, 0.25, 0.2, 0.1], [0.9, 0.02, 0.02, 0.02, 0.02, 0.02]])
    ours = np.array([[0.4, 0.2, 0.1, 0.1, 0.1, 0.1], [0.9, 0.02, 0.02, 0.02, 0.02, 0.02]])
    report = dataclasses.replace(clean(), pictures=dataclasses.replace(clean().pictures, probabilities_tf=theirs, probabilities_torch=ours))
    rows = pictures.probabilities(report)
    assert [(row.label, row.same) for row in rows if row.sample == 0] == [
        ("young", False),
        ("label 3", False),
        ("label 4", False),
        ("label 2", False),
        ("old", False),
    ]
    assert all(row.same for row in rows if row.sample == 1)


def test_a_sample_with_another_answer_is_shown_however_many_there_are() -> None:
    theirs = np.tile([[0.9, 0.1]], (40, 1))
    ours = theirs.copy()
    ours[33] = [0.4, 0.6]
    report = dataclasses.replace(clean(), pictures=dataclasses.replace(clean().pictures, probabilities_tf=theirs, probabilities_torch=ours))
    rows = pictures.probabilities(report)
    assert [row.sample for row in rows if row.first] == [*range(11), 33]
    assert [row.sample for row in rows if not row.same] == [33, 33]


def test_the_verdict_is_the_first_line() -> None:
    assert terminal(clean()).startswith("pass: the same function\nAll 155 tensors of the original agree: at worst 2.5e-09 alone")
    assert terminal(faulty()).startswith("fault: a different function\n2 layers at fault; 16 layers behind only carry it on.\n")


def test_the_terminal_says_cause_and_remedy() -> None:
    text = terminal(faulty())
    assert "first fault: generator synthesis.b32.conv0: kernel_flipped\n" in text
    assert "  remedy: do not flip the kernel\n" in text


def test_a_block_that_passes_is_one_line_and_one_with_a_fault_is_opened() -> None:
    lines = terminal(faulty()).splitlines()
    assert "│   ├── b16  pass  4 layers, at worst 1.3e-09 alone, 2.2 x floor" in lines
    opened = lines.index("│   ├── b32  fault  4 layers: 1 fault, 3 carried")
    assert [line.split()[2:4] for line in lines[opened + 1 : opened + 4]] == [
        ["├──", "conv0"],
        ["├──", "conv1"],
        ["├──", "torgb"],
    ]
    assert "│   ├── b64  carried  4 layers" in lines


def test_a_pipe_gets_no_colours_and_no_control_characters() -> None:
    for text in (terminal(faulty()), terminal(renamed(faulty(), HOSTILE))):
        assert "\x1b" not in text
        assert "\x00" not in text


def test_a_narrow_terminal_loses_nothing() -> None:
    narrow = terminal(faulty(), 24)
    assert max(map(len, narrow.splitlines())) <= 24
    assert "kernel_transposed_hw" in narrow.replace("\n", "")
    assert "largest difference" in words(narrow)


def test_poor_arithmetic_is_told_by_its_first_layer() -> None:
    layers = list(clean().layers)
    layers[4] = dataclasses.replace(layers[4], verdict=NUMERIC, ratio=41.5)
    said = because(dataclasses.replace(clean(), layers=tuple(layers)))
    assert "1 layer loses more in fp32 than rounding explains; the first is generator mapping.fc4, 41.5 times the rounding floor." in said


def test_a_lower_precision_is_judged_by_its_own_rounding() -> None:
    layers = clean().layers[:2]
    losses = (Loss("generator", "mapping.fc1", 3e-3, 0.77), Loss("generator", "mapping.fc0", 1e-3, 0.26))
    report = dataclasses.replace(clean(), layers=layers, taps=2, matched=2, precision="bf16", losses=losses, gates=())
    assert "and 0.8 times the rounding of bf16" in because(report)
    assert "lose most in bf16:\n  generator mapping.fc1: 0.8 times its rounding\n" in terminal(report)
