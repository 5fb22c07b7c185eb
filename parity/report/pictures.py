"""The report's pictures: images side by side with their difference, heat maps of the first fault, probabilities of both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from stylexport.common.types import Array
from stylexport.pages.render import png
from stylexport.parity.report.words import number
from stylexport.parity.result import Maps, Report
from stylexport.parity.verdict import EXACT

SHOWN = 4  # samples whose images are shown
SIDE, MAP_SIDE = 128, 232  # small pictures are drawn at least about so large, in pixels
SAMPLES = 12  # samples whose probabilities are shown, those with another answer before others
LABELS = 4  # labels shown of each sample: all, or the original's likeliest
NOT_FINITE = (1.0, -1.0, 1.0)  # magenta
# From no error to the largest: dark to light, so that it reads in grey too.
RAMP = np.array([(16, 20, 46), (62, 52, 138), (176, 58, 104), (238, 128, 62), (255, 240, 190)]) / 127.5 - 1


@dataclass(frozen=True)
class Sample:
    """One image of TensorFlow, PyTorch's, and their difference, as data URIs."""

    tf: str
    torch: str
    difference: str


@dataclass(frozen=True)
class SideBySide:
    """Samples, how many times their difference is magnified ("0" where there is none), and the largest difference."""

    samples: tuple[Sample, ...]
    magnified: str
    largest: str


@dataclass(frozen=True)
class Heat:
    """A map [H, W] as a picture: the colours of its scale from 0 up to `high` beside it. `lost` says whether values are not finite."""

    name: str
    said: str
    picture: str
    colours: str
    high: str
    lost: bool


@dataclass(frozen=True)
class Probability:
    """A label's probability in one sample. `first` opens the sample, `rows` is how many rows it has; `same` whether the answers agree."""

    sample: int
    first: bool
    rows: int
    same: bool
    label: str
    tf: float
    torch: float
    difference: str


def side_by_side(report: Report) -> SideBySide | None:
    """The first images of both; None where there is no such network or their shapes differ."""
    theirs, ours = report.pictures.images_tf, report.pictures.images_torch
    if theirs is None or ours is None or theirs.shape != ours.shape or not len(theirs):
        return None
    theirs, ours = np.asarray(theirs[:SHOWN], np.float64), np.asarray(ours[:SHOWN], np.float64)
    delta = ours - theirs
    finite = np.abs(delta[np.isfinite(delta)])
    largest = float(finite.max(initial=0.0))
    factor = _magnification(largest)
    scale = max(1, SIDE // theirs.shape[-1])
    samples = [Sample(*(png(_marked(x), scale) for x in (a, b, d * factor))) for a, b, d in zip(theirs, ours, delta, strict=True)]
    return SideBySide(tuple(samples), f"{factor:,.0f}", number(largest))


def heats(maps: Maps | None) -> list[Heat]:
    """The border map and the worst channel's, where the fault's output has two spatial axes."""
    if maps is None:
        return []
    named = [
        ("over the image", "mean square error of each pixel over samples and channels", maps.border),
        (f"channel {maps.channel}, the worst", "absolute error in the first sample", maps.worst),
    ]
    return [_heat(name, said, np.asarray(values, np.float64)) for name, said, values in named if values is not None]


def channels(maps: Maps | None) -> str:
    """How many of the fault's channels are wrong, in a sentence; empty without maps."""
    if maps is None:
        return ""
    errors = np.asarray(maps.channels, np.float64)
    wrong = int((~(errors <= EXACT)).sum())
    worst = number(float(errors[maps.channel]))
    return f"{wrong:,} of {errors.size:,} channels differ; the worst is channel {maps.channel}, by {worst} of its size."


def probabilities(report: Report) -> list[Probability]:
    """Each sample's labels under both, the likeliest first where they are many; empty without a classifier."""
    theirs, ours = report.pictures.probabilities_tf, report.pictures.probabilities_torch
    if theirs is None or ours is None or theirs.shape != ours.shape:
        return []
    rows = []
    both = list(zip(theirs.astype(np.float64), ours.astype(np.float64), strict=True))
    for i in sorted(sorted(range(len(both)), key=lambda i: _same(*both[i]))[:SAMPLES]):
        p, q = both[i]
        likeliest = np.argsort(-p, kind="stable")[:LABELS].tolist()
        shown = list(range(len(p))) if len(p) <= LABELS else list(dict.fromkeys([*likeliest, int(q.argmax())]))
        for j in shown:
            label = report.labels[j] if j < len(report.labels) else f"label {j}"
            rows.append(
                Probability(i, j == shown[0], len(shown), _same(p, q), label, float(p[j]), float(q[j]), number(float(abs(q[j] - p[j]))))
            )
    return rows


def _magnification(largest: float) -> float:
    """The largest of 1, 2, 5, 10, 20 ... that keeps the difference in the picture's range; 0 where there is none."""
    if not largest:
        return 0.0
    power = 10.0 ** max(math.floor(-math.log10(largest)), 0)
    return max((step * power for step in (1, 2, 5) if step * power * largest <= 1), default=1.0)


def _same(p: Array, q: Array) -> bool:
    """Whether both give one answer; what is not finite gives none."""
    return _answer(p) == _answer(q) and bool(np.isfinite(q).all())


def _answer(probability: Array) -> int:
    return int(probability.argmax()) if len(probability) > 1 else int(probability[0] > 0.5)


def _marked(image: Array) -> Array:
    """An image [3, H, W] with pixels that are not finite in magenta."""
    lost = ~np.isfinite(image).all(0)
    return np.where(lost, np.array(NOT_FINITE)[:, None, None], np.where(np.isfinite(image), image, 0.0))


def _heat(name: str, said: str, values: Array) -> Heat:
    finite = np.isfinite(values)
    most = float(values[finite].max(initial=0.0))
    levels = np.where(finite, values, 0.0) / (most or 1.0)
    picture = np.where(finite, _coloured(levels), np.array(NOT_FINITE)[:, None, None])
    scale = max(1, MAP_SIDE // max(values.shape))
    return Heat(name, said, png(picture, scale), png(_coloured(np.linspace(1, 0, 64)[:, None])), number(most), not finite.all())


def _coloured(levels: Array) -> Array:
    """Levels [H, W] in [0, 1] as an image [3, H, W] in [-1, 1]."""
    stops = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(levels, stops, RAMP[:, i]) for i in range(3)])
