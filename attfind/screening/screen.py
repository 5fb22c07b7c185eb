"""Screened search: effects of the changes that matter, for a tenth of the exhaustive search's forward passes or less.

Gradients of the logits at each reconstruction predict every effect (gradient times displacement); a race
(attfind/screening/successive_halving.py) measures
exactly what could be among the strongest. What is recorded as an effect is measured, never predicted: changes that were dropped have effect
zero, run.json and effects.h5 say which were measured ("screening"), and how much of the true top the race expects to have found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.counterfactual import Move, targets
from stylexport.attfind.effects.create_run import SHARE
from stylexport.attfind.effects.effects import measured_of
from stylexport.attfind.effects.measure import effects_of
from stylexport.attfind.effects.run import Run
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.screening.successive_halving import RaceResult, plan, race
from stylexport.attfind.select.rules import COMBINED, ONE_AGAINST_ALL
from stylexport.attfind.select.strategies import gains_towards
from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import NUMPY_ERRORS, Array, Progress

BACKWARD = 2  # forward passes that a backward pass costs
UNCHANGED = 4  # times that an image without changes is made, for each class
FILE = "screening.npz"
SECONDS = 30.0  # between saves of what is known


def screen(
    run: Run,
    model: Explained,
    classify: Classify,
    batch: int,
    *,
    share: float = SHARE,
    top: int = 10,
    seed: int = 0,
    progress: Progress | None = None,
) -> None:
    """Measures a run by screening, for `share` of the forward passes of the exhaustive search; `measure` then finds nothing missing.

    For each class the images of other classes are moved towards it, as `stylexport.attfind.select.select` does; `top` is how many of its
    strongest
    changes the race must not miss. `run.about["screening"]` then holds share, top, seed, passes (of this search), exhaustive (what that
    one takes), entries ({class: [direction * S + coordinate, ...]}, best first) and recall ({class: the share of the top that is
    expected to be there}). After an interruption the next call goes on where it was; at most half a minute is repeated.
    `progress("changes", passes, in all)`. Raises BadInput for a share too small to measure anything.
    """
    if not run.missing():
        (run.folder / FILE).unlink(missing_ok=True)
        return
    known = _Known(run, model, classify, batch, progress, share)
    images, _, size, labels = known.effects.shape
    classes, passes = run.arrays["base_logits"].argmax(1), known.gradients()
    others = [np.flatnonzero(classes != label) for label in range(labels)]
    # An image's changes answer for every class but its own, so its passes are shared by those.
    each = (2 * share * size - passes / images) / max(labels - 1, 1) - UNCHANGED
    if each * images < 4 * labels:
        raise BadInput(f"screening with {share:g} of {2 * size} passes an image measures nothing after the gradients; take a larger share")
    thresholds = (COMBINED, ONE_AGAINST_ALL) if labels == 2 else (ONE_AGAINST_ALL,)
    results: dict[int, RaceResult] = {}
    for label, chosen in enumerate(others):
        if len(chosen):
            predicted = np.concatenate([gains_towards(known.predicted(i)[None], label).reshape(1, -1) for i in chosen.tolist()])
            planned = plan(2 * size, len(chosen), each * len(chosen))
            results[label] = race(predicted, partial(_measure, known, chosen, label), planned, top, thresholds, seed)
    known.save()
    facts = {"share": share, "top": top, "seed": seed, "passes": known.passes, "exhaustive": images * (2 * size + 1)}
    recall = {str(label): round(found.recall, 3) for label, found in results.items()}
    run.note(screening={**facts, "recall": recall, "entries": {str(label): list(found.arms) for label, found in results.items()}})
    for i in run.missing():
        kept = measured_of(run.about, int(classes[i]), size)
        run.add(i, np.where(kept[..., None], np.nan_to_num(known.effects[i]), 0))
    (run.folder / FILE).unlink(missing_ok=True)


def _measure(known: _Known, chosen: Array, label: int, row: int, arms: Sequence[int]) -> Array:
    """The gains of a race's arms, which are moves numbered as the flattened [2, S]."""
    directions, coordinates = np.unravel_index(np.asarray(arms, int), known.effects.shape[1:3])
    moves = [Move(d, c) for d, c in zip(directions.tolist(), coordinates.tolist(), strict=True)]
    return known.gains(int(chosen[row]), moves, label)


class _Known:
    """What has been computed of a run so far: slopes of the logits [N, S, L], and effects [N, 2, S, L], NaN where they are not measured."""

    def __init__(self, run: Run, model: Explained, classify: Classify, batch: int, progress: Progress | None, share: float) -> None:
        self.run, self.model, self.classify, self.batch, self.progress = run, model, classify, batch, progress
        images, size = run.arrays["styles"].shape
        labels = run.arrays["base_logits"].shape[1]
        self.shift = float(run.about["shift"])
        self.slopes = np.full((images, size, labels), np.nan, np.float32)
        self.effects = np.full((images, 2, size, labels), np.nan, np.float32)
        self.passes, self.expected = 0, int(share * images * 2 * size)
        if (path := run.folder / FILE).is_file():
            try:
                with np.load(path) as file:
                    self.slopes, self.effects, self.passes = file["slopes"], file["effects"], int(file["passes"])
            except NUMPY_ERRORS as error:
                raise DamagedFile(path, f"is not what screening keeps ({error})", "delete it: it is measured again") from error
        self.saved = time.monotonic()
        self._tick(0)

    def gradients(self) -> int:
        """Computes the missing slopes, of every logit but that of the image's own class. Returns the passes that all of them cost."""
        classes = self.run.arrays["base_logits"].argmax(1)
        wanted = range(self.slopes.shape[2])
        for i in range(len(self.slopes)):
            labels = [label for label in wanted if label != classes[i]]
            if np.isnan(self.slopes[i, 0, labels]).any():
                latent, styles = self._tensor("latents", i), self._tensor("styles", i)[None].requires_grad_()
                with torch.enable_grad(), torch.autocast(styles.device.type, enabled=False):
                    logits = self.classify(self.model.editor(latent).render(styles))[0]
                    for label in labels:
                        (slope,) = torch.autograd.grad(logits[label], styles, retain_graph=True)
                        self.slopes[i, :, label] = slope[0].float().cpu().numpy()
                self._tick(1 + BACKWARD * len(labels))
        return len(self.slopes) * (1 + BACKWARD * (len(wanted) - 1))

    def predicted(self, image: int) -> Array:
        """Effects [2, S, L] of an image as its slopes predict them; those on its own class are zero."""
        return (self._targets(image) - self.run.arrays["styles"][image])[..., None] * np.nan_to_num(self.slopes[image])

    def gains(self, image: int, moves: Sequence[Move], label: int) -> Array:
        """The gains towards a class of moves in an image, measured unless they are known."""
        effects, at = self.effects[image], tuple(np.array(moves).T)
        towards = (*at, label)
        if new := [move for move, gain in zip(moves, effects[towards].tolist(), strict=True) if np.isnan(gain)]:
            latent, base = self._tensor("latents", image), self._tensor("base_logits", image)
            target = torch.from_numpy(self._targets(image)).to(self.model.device)
            with torch.no_grad():
                found = effects_of(self.model, self.classify, latent, base, target, self.batch, new)
            effects[tuple(np.array(new).T)] = found[tuple(np.array(new).T)]
            self._tick(len(new) + 1)  # the editor makes the unchanged image
        return np.maximum(0.0, effects[towards].astype(np.float64))

    def save(self) -> None:
        """Keeps what is known."""
        with whole_file(self.run.folder / FILE) as partial, partial.open("wb") as file:
            np.savez(file, slopes=self.slopes, effects=self.effects, passes=np.array(self.passes))
        self.saved = time.monotonic()

    def _tick(self, passes: int) -> None:
        self.passes += passes
        if self.progress:
            self.progress("changes", min(self.passes, self.expected), self.expected)
        if time.monotonic() - self.saved > SECONDS:
            self.save()

    def _targets(self, image: int) -> Array:
        arrays = self.run.arrays
        return targets(arrays["styles"][image], self.shift, arrays["style_min"], arrays["style_max"])

    def _tensor(self, name: str, image: int) -> Tensor:
        return torch.from_numpy(self.run.arrays[name][image]).to(self.model.device)
