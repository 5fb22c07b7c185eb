"""Beginning a run: what is known of every image before any coordinate is moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.effects.run_store import Run
from stylexport.attfind.model import Explained
from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.torch_models.classifiers.open import looks_like_probabilities

Classify = Callable[[Tensor], Tensor]


def begin(
    folder: Path | str,
    model: Explained,
    classify: Classify,
    latents: Array,
    *,
    chosen: Sequence[int] | None = None,
    labels: Sequence[str] = (),
    shift: float = 1.0,
    batch: int = 32,
    about: Mapping[str, Any] | None = None,
) -> Run:
    """A run in `folder` that measures the images of `latents` [N, D], or those of them at `chosen`; `stylexport.attfind.effects.measure`
    goes on with it.

    Every coordinate's minimum and maximum are over all N, as the authors take them over all latents, so that fewer `chosen` change no
    effect. `labels` name the classifier's logits (by default their numbers); `about` is whatever else run.json shall keep. Where the
    folder holds this run already it is that one. Raises BadInput where it holds another, or where the classifier gives no raw logits.
    """
    styles = styles_of(model, latents, batch)
    kept = np.arange(len(latents)) if chosen is None else np.asarray(chosen, np.int64)
    base = logits_of(model, classify, latents[kept], batch)
    names = label_names(labels, base.shape[1])
    arrays = {
        "latents": latents[kept].astype(np.float32),
        "styles": styles[kept],
        "base_logits": base,
        "style_min": styles.min(0),
        "style_max": styles.max(0),
    }
    layers = [[layer.name, layer.size] for layer in model.layers]
    if not np.isfinite(shift):
        raise BadInput(f"shift {shift}: is no number of the ways to the minimum and maximum; 1 is all the way")
    return Run.begin(Path(folder), {**(about or {}), "shift": shift, "layers": layers, "labels": names}, arrays)


def label_names(labels: Sequence[str], count: int) -> list[str]:
    """`count` names: `labels`, or numbers where there are none. Raises BadInput where they are too many or too few."""
    if labels and len(labels) != count:
        raise BadInput(f"{len(labels)} label names ({', '.join(labels)}) for a classifier of {count} logits; name each by --labels A,B,...")
    return list(labels) or [str(i) for i in range(count)]


@torch.no_grad()
def styles_of(model: Explained, latents: Array, batch: int) -> Array:
    """The style coordinates [N, S] of latents [N, D], float32."""
    return np.concatenate([model.styles(part).float().cpu().numpy() for part in _parts(model, latents, batch)])


@torch.no_grad()
def logits_of(model: Explained, classify: Classify, latents: Array, batch: int) -> Array:
    """The raw logits [N, L] of the latents' reconstructions, float32. Raises BadInput where they look like probabilities."""
    found = torch.cat([classify(model.decode(part)).float().cpu() for part in _parts(model, latents, batch)])
    if looks_like_probabilities(found):
        raise BadInput("the classifier gives probabilities; effects are differences of raw logits: leave out its last softmax")
    if not bool(found.isfinite().all()):
        raise BadInput("the classifier's logits are not finite; check its weights, and its preprocessing")
    return found.numpy()


def _parts(model: Explained, latents: Array, batch: int) -> Iterator[Tensor]:
    for start in range(0, len(latents), batch):
        yield torch.tensor(latents[start : start + batch], dtype=torch.float32, device=model.device)
