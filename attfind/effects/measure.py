"""Measuring effects: every coordinate of every image to its minimum and its maximum, and what that does to the classifier's logits.

Lang et al. 2021, algorithm 1's inner loop. The authors move one coordinate of one image at a time; here a batch holds many changes of one
image, both directions together, and what lies below the changed layer is computed once an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.counterfactual import Move, targets
from stylexport.attfind.effects.run import Run
from stylexport.attfind.model import Classify, Explained, layer_of
from stylexport.common.types import Array, Progress


def effects_of(
    model: Explained,
    classify: Classify,
    latent: Tensor,
    base: Tensor,
    target: Tensor,
    batch: int,
    moves: Sequence[Move] | None = None,
    *,
    tick: Callable[[int], None] | None = None,
) -> Array:
    """Effects [2, S, L] of one latent [D]: logits of each changed image minus `base` [L], `target` [2, S] being the new values.

    Only `moves` are measured where they are given; the other effects are zero. `tick(changes measured since the last call)`.
    """
    editor = model.editor(latent)
    found = torch.zeros((*target.shape, len(base)), device=base.device)
    every = (Move(d, c) for c in range(target.shape[1]) for d in (0, 1))
    changes = [*every] if moves is None else sorted(moves, key=lambda move: (move.coordinate, move.direction))
    for start in range(0, len(changes), batch):
        directions, coordinates = zip(*changes[start : start + batch], strict=True)
        at = (list(directions), list(coordinates))
        # A batch is full, though a layer may end in it: it starts at the lowest of its layers.
        images = editor.change(layer_of(model.layers, coordinates[0]), coordinates, target[at])
        found[at] = classify(images) - base
        if tick:
            tick(len(coordinates))
    return found.cpu().numpy().astype(np.float32)


def measure(
    run: Run, model: Explained, classify: Classify, batch: int, *, images: Sequence[int] | None = None, progress: Progress | None = None
) -> None:
    """Measures the images of a run that have no part yet (of `images`, where they are given), and writes a part for each.

    `batch` is how many changed images are made at once. After an interruption the next call goes on where it was.
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
