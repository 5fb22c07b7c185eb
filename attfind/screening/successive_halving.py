"""Experimental: successive halving, which finds the few of many arms that move images most by measuring fewer arms on more images.

An arm is a move, by its number; its gain on an image is max(0, effect) towards a class. Predicted gains order the arms. A first round
measures the most promising of them on some images, and a few of the others, drawn by chance, which shows how good predictions are; the
better ones are measured on all images (successive halving: Karnin, Koren, Somekh 2013, "Almost Optimal Exploration in Multi-Armed
Bandits"). Then algorithm 1 is followed: for the images that the strongest arms leave unmoved, what is promising there is measured there.
What is never measured is estimated, with how far that may be wrong, so that a race can say how much of the true top it expects to have
found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stylexport.common.types import Array

# (an image's number, arms) -> their gains
Measure = Callable[[int, Sequence[int]], Array]

# Shares of the images seen and of the budget spent by the first round, the last, and the following of algorithm 1.
SEEN, FIRST, LAST, FOLLOWING = 0.15, 0.35, 0.5, 0.15
EVERY = 16  # one in so many of the first round's arms is drawn by chance
BORROWED = 3  # observations that an arm's variance borrows from the others


class Plan(NamedTuple):
    """`first` arms are measured on `seen` images, `last` on all; `following` measurements follow algorithm 1, of `budget` in all.

    What algorithm 1 leaves of them goes to more arms on all images.
    """

    first: int
    seen: int
    last: int
    following: int
    budget: int


@dataclass(frozen=True)
class RaceResult:
    """The arms that were measured on every image, the best first, and the share of the true top that is expected among them."""

    arms: tuple[int, ...]
    recall: float


def plan(arms: int, images: int, budget: float) -> Plan:
    """What `budget` measurements (of one arm on one image each) are spent on."""
    seen = min(images, max(math.ceil(SEEN * images), 2))
    first = min(max(int(FIRST * budget / seen), 1), arms)
    last = max(int(LAST * budget / max(images - seen, 1)), 1)
    return Plan(first, seen, min(last, first), int(FOLLOWING * budget), int(budget))


def race(predicted: Array, measure: Measure, planned: Plan, top: int, thresholds: Sequence[float] = (1.0,), seed: int = 0) -> RaceResult:
    """Runs a plan on images in a random order.

    `predicted` [n, E] are the gains as predicted; `top` is how many arms matter; algorithm 1 is followed with each T of `thresholds`.
    """
    images, size = predicted.shape
    draw = np.random.default_rng(seed)
    gains = Gains(predicted, measure)
    everywhere, prior = np.arange(images), predicted.mean(0)
    first = _first(prior, planned.first, draw)
    seen = gains.of(draw.permutation(images)[: planned.seen], first)
    mean, error = expected(prior, prior[first], seen)
    # A prediction that is far too low must not hold a measured arm down, so here none counts as surer than the usual one.
    usual = float(np.sqrt((error[first] ** 2).mean()))
    mean[first], error[first] = joined(seen, images, mean[first], np.maximum(error[first], usual))
    ranked = first[np.argsort(-mean[first], kind="stable")]
    last = ranked[: planned.last]
    gains.of(everywhere, last)
    for threshold in thresholds:
        last = np.concatenate([last, followed(gains, last, planned.following // len(thresholds), top, threshold)])
    more = max((planned.budget - gains.spent) // max(images - planned.seen, 1), 0)
    last = np.concatenate([last, ranked[~np.isin(ranked, last)][:more]])
    own = gains.of(everywhere, last).mean(0)
    rest = np.setdiff1d(np.arange(size), last)
    missed = above(np.sort(own)[-min(top, len(own))], mean[rest], error[rest])
    return RaceResult(tuple(last[np.argsort(-own, kind="stable")].tolist()), max(0.0, 1 - float(missed.sum()) / top))


class Gains:
    """Gains [n, E] of which some are measured; the others are measured when they are asked for."""

    def __init__(self, predicted: Array, measure: Measure) -> None:
        self.predicted, self.measure = predicted, measure
        self.known = np.full(predicted.shape, np.nan)
        self.spent = 0

    def of(self, images: Array, arms: Array) -> Array:
        """Gains [images, arms], measured."""
        for image in images.tolist():
            if len(new := arms[np.isnan(self.known[image, arms])]):
                self.known[image, new] = self.measure(image, new.tolist())
                self.spent += len(new)
        return self.known[np.ix_(images, arms)]


def followed(gains: Gains, measured: Array, budget: int, top: int, threshold: float) -> Array:
    """The arms beside `measured` that algorithm 1 takes, for about `budget` measurements. They are measured on every image.

    At each step half of what is left of the budget goes to the arms of which most is predicted for the images still unmoved.
    """
    everywhere, limit = np.arange(len(gains.known)), gains.spent + budget
    moved = np.zeros(len(everywhere))
    chosen: list[int] = []
    for step in range(top):
        still = everywhere[moved < threshold]
        if not len(still):
            break
        candidates = np.setdiff1d(measured, chosen)
        if step:  # of the first step, over all images, `measured` are the best
            promise = gains.predicted[still].mean(0)
            promise[[*measured, *chosen]] = -np.inf
            left = limit - gains.spent - len(everywhere)  # the one that is taken is measured everywhere
            count = max(left // (2 * len(still)), 0)
            candidates = np.concatenate([candidates, np.argsort(-promise, kind="stable")[: min(count, np.isfinite(promise).sum())]])
        if not len(candidates):
            break
        means = gains.of(still, candidates).mean(0)
        if means.max() <= 0:
            break
        chosen.append(int(candidates[means.argmax()]))
        moved += gains.of(everywhere, np.array(chosen[-1:]))[:, 0]
    return np.setdiff1d(chosen, measured).astype(int)


def expected(prior: Array, seen_prior: Array, seen: Array) -> tuple[Array, Array]:
    """What mean gains to expect of predictions `prior` [E], and how far those may be wrong.

    `seen` [n, e] are gains of arms that were predicted as `seen_prior` [e]: mean gains are about a line over predictions, and miss it in
    proportion to its height.
    """
    mean = seen.mean(0)
    slope = max(float(np.cov(seen_prior, mean)[0, 1] / (seen_prior.var(ddof=1) + 1e-30)), 0.0) if len(mean) > 1 else 0.0
    start = float(mean.mean() - slope * seen_prior.mean())
    if start < 0:
        slope, start = float((seen_prior * mean).sum() / ((seen_prior**2).sum() + 1e-30)), 0.0
    noise = seen.var(0, ddof=1).sum() / len(seen) if len(seen) > 1 else 0.0
    line = start + slope * seen_prior
    # What is left is due to the sample too, as far as `noise` says; two standard errors of that are not taken off.
    left = max(float(((mean - line) ** 2).sum()) - noise, 0.0) + 2 * noise * math.sqrt(2 / len(line))
    share = left / (float((line**2).sum()) + 1e-30)
    height = start + slope * prior
    return height, math.sqrt(share) * height


def joined(gains: Array, images: int, mean: Array, error: Array) -> tuple[Array, Array]:
    """The mean gain over all `images` of arms whose `gains` [n, e] on n of them are measured, and how far it may be wrong.

    What was expected (`mean`, give or take `error`) counts by its certainty; variances borrow from all arms, as n may be 2.
    """
    n = len(gains)
    own = gains.mean(0)
    if n == images:
        return own, np.zeros_like(own)
    variance = gains.var(0, ddof=1)
    usual = variance.sum() / ((own**2).sum() + 1e-30) * own**2
    sampling = ((n - 1) * variance + BORROWED * usual) / (n - 1 + BORROWED) / n * (1 - n / images) + 1e-30
    weight = error**2 / (error**2 + sampling)
    return weight * own + (1 - weight) * mean, np.sqrt(weight * sampling)


def above(bar: float, mean: Array, error: Array) -> Array:
    """The probability that each value, normal about `mean` with standard deviation `error`, is above `bar`."""
    z = (bar - mean) / np.maximum(error, 1e-12) / math.sqrt(2)
    return np.array([0.5 * math.erfc(value) for value in z.tolist()])


def _first(prior: Array, count: int, draw: np.random.Generator) -> Array:
    """The arms of the first round: the most promising, and some of the others by chance."""
    ranked = np.argsort(-prior, kind="stable")
    chance = min(count // EVERY, len(ranked) - count)
    return np.concatenate([ranked[: count - chance], draw.choice(ranked[count - chance :], chance, replace=False)])
