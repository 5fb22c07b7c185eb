"""Attributes as files: one page for a reader (index.html), or a contact sheet or an animation an attribute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.select.attributes import Selection
from stylexport.attfind.show.change_pictures import animation, change_map, data_uri, picture, sheet, strip
from stylexport.attfind.show.show import FRAMES, AttributeExamples, Example, show
from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput
from stylexport.common.types import Progress
from stylexport.common.version import __version__
from stylexport.pages.render import render
from stylexport.pages.svg import Frame, line

TEMPLATE = Path(__file__).parent / "templates" / "attributes.html"
FORMATS = ("html", "png", "gif")
ENDS = ("minimum", "maximum")
SIDE, SWEPT = 256, 128  # the longest side of a picture in the page, and of one in a sweep
LARGE = 128  # the side of a picture in a sheet or an animation, about
CURVE_HEIGHT = 40
CLASSES = 6  # named at most, the most frequent first
MILLISECONDS = 110  # a frame of an animation


def write_gallery(
    subject: Subject,
    selection: Selection,
    folder: Path,
    formats: Sequence[str],
    *,
    top: int | None = None,
    images: int = 6,
    frames: int = FRAMES,
    batch: int = 32,
    progress: Progress | None = None,
) -> list[Path]:
    """The first `top` attributes as files of these `formats` ("html", "png", "gif"). Raises BadInput for another format."""
    if unknown := [name for name in formats if name not in FORMATS]:
        raise BadInput(f"format {', '.join(unknown)}: there are {', '.join(FORMATS)}")
    attributes = selection.attributes[:top]

    def examples() -> Iterator[AttributeExamples]:
        for number, attribute in enumerate(attributes):
            if progress:
                progress("attributes", number, len(attributes))
            yield show(subject, attribute, images=images, frames=frames, batch=batch, only=selection.image)
        if progress:
            progress("attributes", len(attributes), len(attributes))

    shown: Iterable[AttributeExamples] = list(examples()) if len(formats) > 1 else examples()
    paths = []
    if "html" in formats:
        paths.append(write_page(subject, shown, folder / "index.html", _about(subject, selection)))
    if "png" in formats:
        paths += write_sheets(subject, shown, folder)
    if "gif" in formats:
        paths += write_animations(subject, shown, folder)
    return paths


def write_page(subject: Subject, shown: Iterable[AttributeExamples], path: Path, about: Sequence[tuple[str, str]] = ()) -> Path:
    """index.html, with everything in it; `about` are names and values for its end."""
    cards = [_card(subject, one, rank) for rank, one in enumerate(shown, 1)]
    classes, counts = np.unique(subject.effects.classes[subject.effects.done], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:CLASSES]
    named = [(subject.label(int(classes[i])), int(counts[i])) for i in most]
    render(TEMPLATE, path, cards=cards, counts=named, more=len(classes) > CLASSES, images=int(counts.sum()), about=list(about))
    return path


def write_sheets(subject: Subject, shown: Iterable[AttributeExamples], folder: Path) -> list[Path]:
    """attribute-01.png and so on: one contact sheet an attribute, a row an image."""
    paths = []
    for rank, one in enumerate(shown, 1):
        rows = [_row(subject, example) for example in one.examples]
        widths = [max(drawn.width for drawn, _ in column) for column in zip(*rows, strict=True)]
        heads = zip(("before", "after", "change", "from its minimum to its maximum"), widths, strict=True)
        paths.append(_save(folder / f"attribute-{rank:02}.png", sheet(f"{rank}. {title(subject, one)}", list(heads), rows)))
    return paths


def write_animations(subject: Subject, shown: Iterable[AttributeExamples], folder: Path) -> list[Path]:
    """attribute-01.gif and so on: the images of an attribute side by side, each from its least likely end to its goal's and back."""
    paths = []
    for rank, one in enumerate(shown, 1):
        swept = [example.sweep if example.move.direction else example.sweep[::-1] for example in one.examples]
        drawn = [[picture(image, subject.model.image_range, LARGE) for image in frames] for frames in zip(*swept, strict=True)]
        moving = animation([strip(frame, 6) for frame in drawn], MILLISECONDS)
        path = folder / f"attribute-{rank:02}.gif"
        with whole_file(path) as partial:
            partial.write_bytes(moving)
        paths.append(path)
    return paths


def title(subject: Subject, one: AttributeExamples) -> str:
    """An attribute in words: "b8.conv0, channel 32: towards 8 at its maximum"."""
    a = one.attribute
    return f"{a.layer}, channel {a.channel}: towards {subject.label(a.target)} at its {ENDS[a.direction]}"


def percent(probability: float) -> str:
    """A probability as people read it; one that is nearly 0 or 1 is never shown as 0 or 100 %."""
    if 1e-4 <= probability <= 1 - 1e-4:
        rare = min(probability, 1 - probability) < 0.01
        return f"{100 * probability:.2f} %" if rare else f"{100 * probability:.0f} %"
    return "<0.01 %" if probability < 0.5 else ">99.99 %"


def _about(subject: Subject, selection: Selection) -> list[tuple[str, str]]:
    """The facts at the page's end."""
    about = subject.effects.about
    classifier = about.get("classifier") or {}
    rows = [
        ("model", about.get("model_path")),
        ("classifier", classifier.get("spec")),
        ("strategy", selection.strategy),
        *((name, f"{value} ({origin})") for name, (value, origin) in selection.parameters.items()),
        ("shift", f"{subject.shift:g} of the way to the minimum or maximum"),
        ("search", selection.search if isinstance(selection.search, str) else "screened"),
        *(("remark", remark) for remark in selection.remarks),
        ("made by", f"StylExport {__version__}"),
    ]
    return [(name, str(value)) for name, value in rows if value is not None]


def _save(path: Path, drawn: Image.Image) -> Path:
    with whole_file(path) as partial:
        drawn.save(partial, "PNG")
    return path


def _row(subject: Subject, example: Example) -> list[tuple[Image.Image, str]]:
    """One image in a sheet."""
    label, goal, limits = subject.label(example.goal.label), example.goal.label, subject.model.image_range
    captions = [f"{label}: {percent(p[goal])}" for p in (example.before_probabilities, example.after_probabilities)]
    swept = [percent(p) for p in example.sweep_probabilities[[0, -1], goal]]
    return [
        (picture(example.before, limits, LARGE), captions[0]),
        (picture(example.after, limits, LARGE), captions[1]),
        (change_map(example.before, example.after, side=LARGE), f"image {example.goal.image}"),
        (strip([picture(frame, limits, LARGE) for frame in example.sweep]), f"{label}: {swept[0]} ... {swept[1]}"),
    ]


def _card(subject: Subject, one: AttributeExamples, rank: int) -> dict[str, Any]:
    """An attribute in the page: its ways, each with its examples."""
    a = one.attribute
    ordered = sorted(one.examples, key=lambda example: example.goal.reversed)
    ways = [_way(subject, list(same)) for _, same in groupby(ordered, key=lambda example: example.goal.reversed)]
    return {
        "rank": rank,
        "layer": a.layer,
        "channel": a.channel,
        "coordinate": a.coordinate,
        "target": subject.label(a.target),
        "end": ENDS[a.direction],
        "helps": one.helps,
        "among": one.among,
        "mean": one.mean,
        "unknown": one.unknown,
        "score": a.score,
        "ways": ways,
        "glance": _example(subject, one.examples[0]) if one.examples else None,
    }


def _way(subject: Subject, examples: list[Example]) -> dict[str, Any]:
    first = examples[0]
    goal = subject.label(first.goal.label)
    return {"goal": goal, "end": ENDS[first.move.direction], "examples": [_example(subject, example) for example in examples]}


def _example(subject: Subject, example: Example) -> dict[str, Any]:
    """One image's pictures and numbers as the template takes them."""
    limits, goal = subject.model.image_range, example.goal.label
    side = min(SIDE, example.before.shape[-1])
    swept = strip([picture(frame, limits, min(SWEPT, frame.shape[-1])) for frame in example.sweep])
    chances = example.sweep_probabilities[:, goal].tolist()
    before, after = float(example.before_probabilities[goal]), float(example.after_probabilities[goal])
    return {
        "image": example.goal.image,
        "was": subject.label(int(example.before_probabilities.argmax())),
        "goal": subject.label(goal),
        "flips": example.flips,
        "before": data_uri(picture(example.before, limits, side)),
        "after": data_uri(picture(example.after, limits, side)),
        "change": data_uri(change_map(example.before, example.after, side=side)),
        "strip": data_uri(swept),
        "frames": len(example.sweep),
        "chance_before": percent(before),
        "chance_after": percent(after),
        "bar_before": 100 * before,
        "bar_after": 100 * after,
        "curve": _curve(chances),
        "own": _point(example.place, chances),
        "value": f"{example.own:.2f}",
        "low": f"{example.low:.2f}",
        "high": f"{example.high:.2f}",
        "moved_to": f"{example.moved_to:.2f}",
    }


def _curve(chances: Sequence[float]) -> str:
    """The points of a sweep's probabilities, above the middles of its frames."""
    frame = _frame(len(chances))
    return line([frame.x((i + 0.5) / len(chances)) for i in range(len(chances))], [frame.y(chance) for chance in chances])


def _point(place: float, chances: Sequence[float]) -> tuple[float, float]:
    """Where the image's own value lies on the curve; `place` is its share of the way from the minimum to the maximum."""
    frame, at = _frame(len(chances)), place * (len(chances) - 1)
    return frame.x((at + 0.5) / len(chances)), frame.y(float(np.interp(at, np.arange(len(chances)), chances)))


def _frame(images: int) -> Frame:
    """The curve's, above a strip of so many images, each 100 wide."""
    return Frame(width=100 * images, height=CURVE_HEIGHT, left=0, right=100 * images, top=0, bottom=CURVE_HEIGHT)
