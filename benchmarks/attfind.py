"""AttFind's speed: the exhaustive search against the authors' loop, the screened one against the exhaustive, and what 256 px takes.

    python -m benchmarks.attfind               the loop: one coordinate, one direction, one image at a time (embedded release, 32 px)
    python -m benchmarks.attfind --screened    the screened search's passes, and how much of the exhaustive search's top it finds
    python -m benchmarks.attfind --release     a network of the released size (256 px, random weights): time for 250 images

The loop is the authors' algorithm: an image's styles, one of them changed, the whole synthesis, clipping, the classifier. Both sides run
in turns on the same changes, and the ratio is the median of the turns'. Exit code 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.subjects import Subject, embedded, subjects
from benchmarks.common.timing import seconds
from stylexport.attfind.counterfactual import Move, targets
from stylexport.attfind.effects.batch import best_batch
from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.effects import Effects
from stylexport.attfind.effects.measure import effects_of, measure
from stylexport.attfind.model import Layer
from stylexport.attfind.screening.screen import screen
from stylexport.attfind.select.select import find_attributes
from stylexport.attfind.select.strategies import gains_towards, ranked
from stylexport.attfind.stylex_model import StylExModel
from stylexport.common.types import Array
from stylexport.torch_models import Generator, MobileNetV1
from stylexport.torch_models.config import GeneratorConfig, MobileNetV1Config, channel_schedule, mobilenet_layers
from stylexport.torch_models.layers.styles import Styles
from stylexport.torch_models.stylex import StylEx

LOOP_RATIO, LOOP_ERROR, SCREENED_RATIO, MODELS = 3.0, 1e-4, 10.0, 5
IMAGES, COORDINATES = 250, 5760  # what the authors ran


def authors_loop(subject: Subject, latent: Tensor, base: Tensor, target: Tensor, coordinates: range) -> Array:
    """Effects [2, S, L] of the coordinates, one changed image at a time."""
    model, generator = subject.model, subject.model.generator
    styles = generator.style_vectors(latent[None])
    flat, sizes = torch.cat(styles.conv, 1), [layer.size for layer in model.layers]
    found = np.zeros((*target.shape, len(base)), np.float32)
    for coordinate in coordinates:
        for direction in (0, 1):
            changed = flat.clone()
            changed[0, coordinate] = target[direction, coordinate]
            image = generator.synthesis(Styles(changed.split(sizes, 1), styles.torgb)).clamp(*model.image_range)
            found[direction, coordinate] = (subject.classify(image)[0] - base).numpy()
    return found


@torch.no_grad()
def against_the_loop(repeats: int, step: int) -> dict[str, Any]:
    """The loop measures every `step`-th coordinate of an image, `effects_of` all of them; times count a change."""
    subject = embedded()
    model, latents = subject.model, subject.latents
    styles, base = model.styles(latents).numpy(), subject.classify(model.decode(latents))
    low, high, span = styles.min(0), styles.max(0), float(base.max() - base.min())
    batch = best_batch(model, subject.classify, latents[0])
    ratios, speeds, error = [], [], 0.0
    for i in range(repeats):
        target = torch.from_numpy(targets(styles[i], 1.0, low, high))
        looped = range(i % step, target.shape[1], step)
        started = time.perf_counter()
        theirs = authors_loop(subject, latents[i], base[i], target, looped)
        between = time.perf_counter()
        ours = effects_of(model, subject.classify, latents[i], base[i], target, batch)
        ended = time.perf_counter()
        loop, own = (between - started) / (2 * len(looped)), (ended - between) / target.numel()
        ratios.append(loop / own)
        speeds.append(1 / own)
        error = max(error, float(np.abs(theirs - ours)[:, looped].max()) / span)
    ratio = statistics.median(ratios)
    facts = {"ratio": ratio, "changes_a_second": statistics.median(speeds), "batch": batch, "threads": torch.get_num_threads()}
    return {**facts, "error": error, "good": ratio >= LOOP_RATIO and error <= LOOP_ERROR}


def against_the_exhaustive(subject: Subject, shares: Sequence[float], top: int = 10) -> Iterator[dict[str, Any]]:
    """Both searches on one model: passes, time, and the share of the exhaustive search's answers that the screened one gives."""
    model, classify, latents = subject.model, subject.classify, subject.latents.numpy()
    batch = best_batch(model, classify, subject.latents[0])
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "exhaustive", model, classify, latents)
        exhaustive_seconds = seconds(partial(measure, run, model, classify, batch))
        exhaustive = Effects.load(run.folder)
        for share in shares:
            run = create_run(Path(folder) / f"screened {share}", model, classify, latents, about={"search": "screened"})
            screened_seconds = seconds(partial(screen, run, model, classify, batch, share=share, top=top))
            yield {
                "model": subject.name,
                "changes": 2 * exhaustive.effects.shape[2],
                "seconds_ratio": exhaustive_seconds / screened_seconds,
                **compared(exhaustive, Effects.load(run.folder), top),
            }


def compared(exhaustive: Effects, screened: Effects, top: int) -> dict[str, Any]:
    """What the screened search found of the exhaustive one's strongest changes, and of its selection."""
    labels = range(exhaustive.base_logits.shape[1])
    kept = [len(strongest(exhaustive, label, top) & strongest(screened, label, top)) for label in labels]
    lists = [[(a.target, a.direction, a.coordinate) for a in find_attributes(run, top=top)] for run in (exhaustive, screened)]
    screening = screened.about["screening"]
    return {
        "passes_ratio": screening["exhaustive"] / screening["passes"],
        "recall": sum(kept) / (top * len(labels)),
        "expected_recall": statistics.mean(screening["recall"].values()),
        "selected": len(lists[0]),
        "selected_too": len(set(lists[0]) & set(lists[1])),
    }


def strongest(effects: Effects, label: int, top: int) -> set[Move]:
    """The `top` changes with the largest mean gains towards a class, over images of the others."""
    means = gains_towards(effects.effects[effects.classes != label], label).mean(0)
    return {*ranked(means)[:top]}


@torch.no_grad()
def at_released_size(batch: int, per_layer: int) -> dict[str, Any]:
    """Times `per_layer` batches of changes of every layer; a layer's time counts with its coordinates."""
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(256, channel_schedule(256))).eval()
    classifier = MobileNetV1(MobileNetV1Config(mobilenet_layers())).eval()
    model = StylExModel(StylEx(generator=generator))
    editor = model.editor(torch.randn(514))
    layers, total, work = [], 0.0, 0.0

    def change(layer: Layer) -> None:
        classifier(editor.change(layer, [layer.first + i % layer.size for i in range(batch)], torch.ones(batch)))

    change(model.layers[0])
    for layer in model.layers:
        took = min(seconds(partial(change, layer)) for _ in range(per_layer)) / batch
        flops = 2 * multiplications(model, layer.name)
        total += took * 2 * layer.size
        work += flops * 2 * layer.size
        layers.append({"layer": layer.name, "coordinates": layer.size, "seconds": took, "gflop": flops / 1e9})
    return {"layers": layers, "batch": batch, "threads": torch.get_num_threads(), "image_seconds": total, "image_tflop": work / 1e12}


def multiplications(model: StylExModel, changed: str) -> float:
    """Multiplications of a change of a layer: the convolutions from it on, and the classifier (MobileNetV1 at 256 px: 0.74e9)."""
    weights = {f"b{r}.{name}": (getattr(getattr(model.generator.synthesis, f"b{r}"), name).weight.numel(), r) for r, name in _convs(model)}
    names = list(weights)
    # A doubling convolution works on its input's grid.
    cost = {name: numel * (r // 2 if name.endswith("conv0") else r) ** 2 for name, (numel, r) in weights.items()}
    return sum(cost[name] for name in names[names.index(changed) :]) + 0.74e9


def _convs(model: StylExModel) -> list[tuple[int, str]]:
    return [(int(layer.name.split(".")[0][1:]), layer.name.split(".")[1]) for layer in model.layers]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screened", action="store_true", help="compare the screened search with the exhaustive one")
    parser.add_argument("--release", action="store_true", help="time a network of the released size")
    parser.add_argument("--share", type=float, nargs="+", default=[0.1], help="the screened search's shares of passes (default 0.1)")
    parser.add_argument("--images", type=int, default=100, help="with --screened: images a model (default 100)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of the loop (default 5)")
    parser.add_argument("--step", type=int, default=4, help="the loop measures every such coordinate (default 4)")
    parser.add_argument("--batch", type=int, default=8, help="with --release: changed images at once (default 8)")
    parser.add_argument("--threads", type=int, help="CPU threads (default PyTorch's)")
    parser.add_argument("--json", action="store_true", help="print JSON, a line a result")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.screened:
        return _screened(given)
    found = at_released_size(given.batch, 2) if given.release else against_the_loop(given.repeats, given.step)
    if given.json:
        print(json.dumps(found))
    elif given.release:
        for layer in found["layers"]:
            cost = f"{layer['seconds'] * 1e3:9.0f} ms{layer['gflop']:8.1f} GFLOP a change"
            print(f"{layer['layer']:12}{layer['coordinates']:5} coordinates{cost}")
        print(f"an image ({2 * COORDINATES:,} changes): {found['image_seconds'] / 3600:.2f} h, {found['image_tflop']:.0f} TFLOP; ", end="")
        print(
            f"{IMAGES} images: {IMAGES * found['image_seconds'] / 86400:.1f} days, {IMAGES * found['image_tflop'] / 1e3:.0f} PFLOP ", end=""
        )
        print(f"({found['threads']} threads, {found['image_tflop'] / found['image_seconds'] * 1e3:.0f} GFLOP/s)")
    else:
        print(f"exhaustive search over the authors' loop: {found['ratio']:.1f} times as fast (target {LOOP_RATIO:g}); ", end="")
        print(f"{found['changes_a_second']:.0f} changes a second, batch {found['batch']}, {found['threads']} threads; ", end="")
        print(f"effects differ by {found['error']:.1e} of the logits' range (limit {LOOP_ERROR:g})")
    return 0 if found.get("good", True) else 1


def _screened(given: argparse.Namespace) -> int:
    """Prints every model's line; then how many models answer alike, of those that took as few passes as the target says."""
    results = []
    for subject in subjects(given.images):
        for found in against_the_exhaustive(subject, given.share):
            results.append(found)
            if given.json:
                print(json.dumps(found), flush=True)
                continue
            print(f"{found['model']}, {found['changes']} changes an image: {found['passes_ratio']:.1f} times fewer passes, ", end="")
            print(f"{found['seconds_ratio']:.1f} times as fast; {found['recall']:.0%} of the top 10s ", end="")
            print(f"({found['expected_recall']:.0%} expected), {found['selected_too']} of {found['selected']} selected", flush=True)
    few = [found for found in results if found["passes_ratio"] >= SCREENED_RATIO]
    tops = len({found["model"] for found in few if found["recall"] == 1})
    selections = len({found["model"] for found in few if found["selected_too"] == found["selected"]})
    print(f"with at least {SCREENED_RATIO:g} times fewer passes: ", end="")
    print(f"the same top 10s on {tops} models, the same selection on {selections} (target {MODELS})")
    return 0 if min(tops, selections) >= MODELS else 1


if __name__ == "__main__":
    sys.exit(main())
