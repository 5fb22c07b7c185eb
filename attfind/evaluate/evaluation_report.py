"""An evaluation as files: RUN/evaluation.json with all numbers, RUN/evaluation.html with curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.load_run import Subject
from stylexport.attfind.evaluate.evaluate import ATTRIBUTES, RANDOM, VARIANCE, Evaluation, FlipCounts
from stylexport.attfind.evaluate.intervals import METHOD, of_rankings
from stylexport.attfind.select.attributes import Selection
from stylexport.common.atomic import whole_file
from stylexport.common.types import Array
from stylexport.pages.render import render
from stylexport.pages.svg import Frame, band, line

FORMAT = 1
TEMPLATE = Path(__file__).parent / "templates" / "evaluation.html"
WORDS = {ATTRIBUTES: "the attributes", RANDOM: "random coordinates", VARIANCE: "coordinates that vary most"}
FRAME = Frame(width=470, height=270, left=44, right=460, top=12, bottom=236)


def to_json(found: Evaluation, subject: Subject, *, seed: int, remarks: Sequence[str] = ()) -> dict[str, Any]:
    """What evaluation.json holds (docs/attfind.md)."""
    attributes, least = found.rankings[ATTRIBUTES], found.least
    classes = {subject.label(int(c)): found.classes == c for c in np.unique(found.classes)}
    flips = least > 0
    return {
        "format": FORMAT,
        "attributes": {subject.label(target): length for target, length in found.lengths.items()},
        "images": len(found.goals),
        "top": attributes.flipped.shape[2],
        "gap": _gap(found, subject),
        "shift": subject.shift,
        "random": {"rankings": len(found.rankings[RANDOM].flipped), "seed": seed},
        "interval": METHOD,
        "sufficiency": {
            name: {"all": _rows(counts), "classes": {label: _rows(counts, images) for label, images in classes.items()}}
            for name, counts in found.rankings.items()
        },
        "least": {
            "counts": [int((least == k + 1).sum()) for k in range(attributes.flipped.shape[2])],
            "never": int((~flips).sum()),
            "median": float(np.median(least[flips])) if flips.any() else None,
            "images": [
                {"image": goal.image, "class": subject.label(int(own)), "goal": subject.label(goal.label), "least": int(k) or None}
                for goal, own, k in zip(found.goals, found.classes, least, strict=True)
            ],
        },
        "change": {
            name: {"l1": _means(counts.l1), "lpips": None if counts.lpips is None else _means(counts.lpips)}
            for name, counts in found.rankings.items()
        }
        | {"at_least": {"l1": _at(attributes.l1, least), "lpips": None if attributes.lpips is None else _at(attributes.lpips, least)}},
        "remarks": list(remarks),
    }


def remarks_on(effects: Effects, selection: Selection, lists: int) -> list[str]:
    """What a reader must know of how the attributes were chosen."""
    found = list(selection.remarks)
    if selection.image is not None:
        found.append(f"the attributes were selected for image {selection.image} alone, and are tried on all")
    if lists > 1 and effects.base_logits.shape[1] > 2:
        found.append("an image counts once for each class that it is to become")
    if selection.search != "exhaustive":
        found.append(
            "the search was screened: a coordinate that was not measured goes to its minimum among random ones and those that vary most"
        )
    if not effects.done.all():
        found.append(f"{int((~effects.done).sum())} of {len(effects.done)} images are not measured yet, and not counted")
    return found


def write_json(values: dict[str, Any], path: Path) -> None:
    """The file, whole or absent."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")


def write_page(values: dict[str, Any], path: Path) -> None:
    """evaluation.html from what evaluation.json holds."""
    sufficiency = values["sufficiency"]
    plots = [Plot.of("all images", {name: rows["all"] for name, rows in sufficiency.items()})]
    labels = list(sufficiency[ATTRIBUTES]["classes"])
    if len(labels) > 1:
        plots += [
            Plot.of(f"images of class {label}", {name: rows["classes"][label] for name, rows in sufficiency.items()}) for label in labels
        ]
    render(TEMPLATE, path, values=values, frame=FRAME, plots=plots, words=WORDS, bars=_bars(values["least"]), first=ATTRIBUTES)


def _rows(counts: FlipCounts, images: Array | None = None) -> list[dict[str, Any]]:
    """A row for each K: the share that flips, its interval, and how far random rankings differ."""
    flipped = counts.flipped if images is None else counts.flipped[:, images]
    low, high = of_rankings(flipped)
    shares, spread = flipped.mean((0, 1)), flipped.mean(1)
    rows = []
    for k, share in enumerate(shares.tolist()):
        row = {"k": k + 1, "images": flipped.shape[1], "share": share, "low": float(low[k]), "high": float(high[k])}
        rows.append(row | ({"deviation": float(spread[:, k].std(ddof=1))} if len(spread) > 1 else {}))
    return rows


def _gap(found: Evaluation, subject: Subject) -> float:
    """By how much the goal's logit is below the image's own before anything moves: the median."""
    logits, images = subject.effects.base_logits, [goal.image for goal in found.goals]
    return float(np.median(logits[images, found.classes] - logits[images, [goal.label for goal in found.goals]]))


def _means(values: Array) -> list[float]:
    return [float(value) for value in values.mean((0, 1))]


def _at(values: Array, least: Array) -> float | None:
    """The mean of `values` [1, N, K] where each image first flips; None where none does."""
    flips = np.flatnonzero(least)
    return float(values[0, flips, least[flips] - 1].mean()) if len(flips) else None


@dataclass(frozen=True)
class Curve:
    """One ranking's line, the band of its interval, and its points: where they are and what hovering says."""

    name: str
    line: str
    band: str
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Plot:
    """Share that flips against the number of coordinates. `ticks` are the marks below, `levels` those at the side."""

    title: str
    images: int
    curves: tuple[Curve, ...]
    ticks: tuple[tuple[float, int], ...]
    levels: tuple[tuple[float, int], ...]

    @classmethod
    def of(cls, title: str, rows: dict[str, list[dict[str, Any]]]) -> Plot:
        """The plot of one group of images; the attributes are drawn last, on top."""
        first = rows[ATTRIBUTES]
        xs = [FRAME.x((row["k"] - 0.5) / len(first)) for row in first]
        step = max(1, len(first) // 10)
        return cls(
            title,
            first[0]["images"],
            tuple(_curve(name, xs, rows[name]) for name in reversed(list(rows))),
            tuple((x, row["k"]) for x, row in zip(xs, first, strict=True) if row["k"] % step == 0 or row["k"] == 1),
            tuple((FRAME.y(level / 100), level) for level in (0, 25, 50, 75, 100)),
        )


def _curve(name: str, xs: Sequence[float], rows: Sequence[dict[str, Any]]) -> Curve:
    lower, ys, upper = ([FRAME.y(row[name]) for row in rows] for name in ("low", "share", "high"))
    words = [f"{WORDS[name]}, {row['k']}: {row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%})" for row in rows]
    return Curve(name, line(xs, ys), band(xs, upper, lower), tuple(zip(xs, ys, words, strict=True)))


def _bars(least: dict[str, Any]) -> list[tuple[str, int, float]]:
    """How many images flip at each number of attributes: its name, the count, and the bar's length in per cent of the longest."""
    counts = [*((str(k), count) for k, count in enumerate(least["counts"], 1)), ("more", least["never"])]
    most = max(count for _, count in counts) or 1
    return [(name, count, 100 * count / most) for name, count in counts]
