"""Measuring effects: every coordinate of every image to its minimum and its maximum, and what the classifier then says.

Lang et al. 2021, algorithm 1's inner loop. The authors move one coordinate of one image at a time; here a batch holds many changes of one
image, both directions together, and what lies below the changed layer is computed once an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.effects.run_store import Run
from stylexport.attfind.model import Explained, layer_of
from stylexport.common.types import Array, Progress

Classify = Callable[[Tensor], Tensor]


def targets(styles: Array, shift: float, style_min: Array, style_max: Array) -> Array:
    """The values [2, S] that coordinates `styles` [S] are moved to: s + shift (minimum - s), and to the maximum."""
    return np.stack([styles + shift * (style_min - styles), styles + shift * (style_max - styles)])


def effects_of(
    model: Explained,
    classify: Classify,
    latent: Tensor,
    base: Tensor,
    target: Tensor,
    batch: int,
    entries: Sequence[int] | None = None,
    *,
    tick: Callable[[int], None] | None = None,
) -> Array:
    """Effects [2, S, L] of one latent [D]: logits of each changed image minus `base` [L], `target` [2, S] being the new values.

    Only `entries` (direction * S + coordinate) are measured where they are given; the other effects are zero. `tick(changes measured since
    the last call)`.
    """
    painter = model.painter(latent)
    found = torch.zeros((*target.shape, len(base)), device=base.device)
    size = target.shape[1]
    wanted = range(2 * size) if entries is None else set(entries)
    changes = [(d, c) for c in range(size) for d in (0, 1) if d * size + c in wanted]
    for start in range(0, len(changes), batch):
        directions, coordinates = zip(*changes[start : start + batch], strict=True)
        at = (list(directions), list(coordinates))
        # A batch is full, though a layer may end in it: it starts at the lowest of its layers.
        images = painter.change(layer_of(model.layers, coordinates[0]), coordinates, target[at])
        found[at] = classify(images) - base
        if tick:
            tick(len(coordinates))
    return found.cpu().numpy().astype(np.float32)


def measure(
    run: Run, model: Explained, classify: Classify, batch: int, *, images: Sequence[int] | None = None, progress: Progress | None = None
) -> None:
    """Measures the images of a run that have no part yet (of `images`, where they are given), and writes a part for each.

    `batch` is how many changed images are made at once. Interrupted at any point it goes on where it was when called again.
    `progress("changes", measured, in all)`: a change is one coordinate of one image in one direction.
    """
    missing = [i for i in run.missing() if images is None or i in set(images)]
    arrays, shift = run.arrays, float(run.about["shift"])
    done, total = 0, len(missing) * 2 * arrays["styles"].shape[1]

    def tick(changes: int) -> None:
        nonlocal done
        done += changes
        if progress:
            progress("changes", done, total)

    tick(0)
    with torch.no_grad():
        for i in missing:
            target = targets(arrays["styles"][i], shift, arrays["style_min"], arrays["style_max"])
            latent, base = (torch.from_numpy(arrays[name][i]).to(model.device) for name in ("latents", "base_logits"))
            run.add(i, effects_of(model, classify, latent, base, torch.from_numpy(target).to(model.device), batch, tick=tick))
