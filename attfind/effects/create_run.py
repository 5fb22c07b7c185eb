"""Creating a run: what is known of every image before any coordinate is moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylexport.attfind.arguments import check_numbers, label_tuple
from stylexport.attfind.effects.batch import best_batch
from stylexport.attfind.effects.interesting import interesting
from stylexport.attfind.effects.latents import Encoded
from stylexport.attfind.effects.run import Run
from stylexport.attfind.effects.sources import Source, expected_labels
from stylexport.attfind.model import Classify, Explained
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.common.version import __version__
from stylexport.torch_models.classifiers.open import looks_like_probabilities

SHARE = 0.1  # of the exhaustive search's forward passes, in a screened search


# A run in half precision on a GPU may differ from float32 on a CPU by so much of the spread of its logits; another model by more.
DRIFT = 0.05


@dataclass(frozen=True)
class Settings:
    """What is to be measured of a source's images.

    `query` (interesting.py) and `limit` choose images; `labels` name the logits; `batch` None is to be found; `share` is a screened
    search's.
    """

    query: str | None = None
    limit: int | None = None
    labels: tuple[str, ...] = ()
    shift: float = 1.0
    precision: str = "fp32"
    search: str = "exhaustive"
    batch: int | None = None
    share: float = SHARE


def create_or_resume(out: Path, model: Explained, classify: Classify, source: Source, settings: Settings, facts: Mapping[str, Any]) -> Run:
    """The run in `out`: new, or created before with the same settings, in which case no image is encoded again.

    `facts` are what run.json says of model and classifier. Raises BadInput.
    """
    found = None
    if isinstance(model, StylExModel):
        config = model.generator.config
        example = torch.zeros(1, config.image_channels, config.resolution, config.resolution, device=model.device)
    else:
        found = source.encode()
        example = model.decode(torch.from_numpy(found.latents[:1]).to(model.device))
    with torch.no_grad():
        labels = label_names(settings.labels, classify(example).shape[1])
    about = {
        "tool": __version__,
        **facts,
        "images": {**source.facts, "interesting": settings.query, "limit": settings.limit},
        "precision": settings.precision,
        "search": settings.search,
        **({"share": settings.share} if settings.search == "screened" else {}),
    }
    if (run := Run.resumed(out, {**about, "shift": settings.shift, "labels": labels, "layers": _layers(model)})) is not None:
        check_answer(str(out), 0, reconstruction_logits(model, classify, run.arrays["latents"][:1], 1)[0], run.arrays["base_logits"])
        return run
    found = found or source.encode()
    chosen = _chosen(model, classify, settings, found, labels)
    batch = settings.batch or best_batch(model, classify, torch.tensor(found.latents[0], device=model.device))
    about |= {"batch": batch, "indices": chosen, "names": [found.names[i] for i in chosen]}
    return create_run(out, model, classify, found.latents, chosen=chosen, labels=labels, shift=settings.shift, about=about)


def check_answer(name: str, image: int, found: Array, base_logits: Array) -> None:
    """Raises BadInput where the logits `found` of a run's image are not those, of `base_logits` [N, L], that the run has of it.

    A digest of weights does not show it: two classifiers without weights, or of the same weights and other code, share one.
    """
    base = base_logits[image]
    allowed = DRIFT * max(float(np.ptp(base_logits)), 1.0)
    if found.shape != base.shape or not np.abs(found - base).max() <= allowed:
        raise BadInput(
            f"{name}: image {image} had the logits {_numbers(base)} and now has {_numbers(found)}; "
            "this is not the run's model or classifier; name its model by --model"
        )


def _numbers(values: Array) -> str:
    return f"[{', '.join(f'{value:.2f}' for value in values[:4])}{', ...' if len(values) > 4 else ''}]"


def _chosen(model: Explained, classify: Classify, settings: Settings, found: Encoded, labels: list[str]) -> list[int]:
    """The images to measure, in the source's order."""
    if settings.query is None:
        return list(range(len(found.latents)))[: settings.limit]
    expected = expected_labels(found.folders, labels) if settings.query == "misclassified" and found.logits is not None else None
    base = reconstruction_logits(model, classify, found.latents, 32)
    answer = interesting(settings.query, base, logits=found.logits, expected=expected, most=settings.limit)
    return sorted(int(i) for i in answer)


def create_run(
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
    """A run in `folder` that measures the images of `latents` [N, D], or those of them at `chosen`; `measure` then fills it.

    Every coordinate's minimum and maximum are over all N, as the authors take them over all latents, so that fewer `chosen` change no
    effect. `labels` name the classifier's logits (by default their numbers); `about` is whatever else run.json shall keep. Where the
    folder holds this run already it is that one. Raises BadInput where it holds another, or where the classifier gives no raw logits.
    """
    styles = styles_of(model, latents, batch)
    kept = np.arange(len(latents)) if chosen is None else np.asarray(chosen, np.int64)
    base = reconstruction_logits(model, classify, latents[kept], batch)
    names = label_names(labels, base.shape[1])
    arrays = {
        "latents": latents[kept].astype(np.float32),
        "styles": styles[kept],
        "base_logits": base,
        "style_min": styles.min(0),
        "style_max": styles.max(0),
    }
    check_numbers(shift=shift)
    return Run.create(Path(folder), {**(about or {}), "shift": shift, "layers": _layers(model), "labels": names}, arrays)


def label_names(labels: Sequence[str], count: int) -> list[str]:
    """`count` names: `labels`, or numbers where there are none. Raises BadInput where they are too many or too few, or two are one."""
    label_tuple(labels)
    if labels and len(labels) != count:
        raise BadInput(f"{len(labels)} label names ({', '.join(labels)}) for a classifier of {count} logits; name each by --labels A,B,...")
    return list(labels) or [str(i) for i in range(count)]


@torch.no_grad()
def styles_of(model: Explained, latents: Array, batch: int) -> Array:
    """The style coordinates [N, S] of latents [N, D], float32."""
    return np.concatenate([model.styles(part).float().cpu().numpy() for part in _parts(model, latents, batch)])


@torch.no_grad()
def reconstruction_logits(model: Explained, classify: Classify, latents: Array, batch: int) -> Array:
    """The raw logits [N, L] of the latents' reconstructions, float32. Raises BadInput where they look like probabilities."""
    found = torch.cat([classify(model.decode(part)).float().cpu() for part in _parts(model, latents, batch)])
    if looks_like_probabilities(found):
        raise BadInput("the classifier gives probabilities; effects are differences of raw logits: leave out its last softmax")
    if not bool(found.isfinite().all()):
        raise BadInput("the classifier's logits are not finite; check its weights, and its preprocessing")
    return found.numpy()


def _layers(model: Explained) -> list[list[str | int]]:
    return [[layer.name, layer.size] for layer in model.layers]


def _parts(model: Explained, latents: Array, batch: int) -> Iterator[Tensor]:
    for start in range(0, len(latents), batch):
        yield torch.tensor(latents[start : start + batch], dtype=torch.float32, device=model.device)
