"""What trained runs are worth, side by side: reconstruction, the classifier's agreement, and AttFind's sufficiency (docs/replication.md).

    python -m benchmarks.sufficiency RUN [RUN ...] [--images 250]

Runs of `stylexport train` on MNIST; each brings its classifier. Held-out digits are encoded; a run without an encoder is given random w. Of
each class the ten coordinates with the largest mean effects move together; the baselines are 20 drawings of random coordinates, and those
whose style varies most.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from stylexport.attfind.evaluate.evaluate import ATTRIBUTES, RANDOM, VARIANCE, evaluate
from stylexport.torch_models.stylex import StylEx
from stylexport.training.data.open import DataConfig, open_data
from stylexport.training.metrics import Explanation, explained, measure, of_latents, open_meters

TOP, DRAWINGS, SEED = 10, 20, 1


def explanation(stylex: StylEx, images: torch.Tensor) -> Explanation:
    """AttFind on the images' reconstructions, or where there is no encoder on as many images of random w."""
    assert stylex.classifier is not None
    if stylex.encoder is not None:
        return explained(stylex, images, stylex.classifier, top=TOP)
    assert stylex.generator is not None
    config = stylex.generator.config
    z = torch.randn(len(images), config.z, generator=torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        latents = torch.cat([stylex.generator.mapping(z), torch.full((len(z), config.labels), 1 / config.labels)], 1)
    return of_latents(stylex, latents, stylex.classifier, top=TOP)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sufficiency", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--images", type=int, default=250, help="held-out digits that AttFind sees (default: %(default)s)")
    given = parser.parse_args()
    held_out = open_data(DataConfig(), "held_out")
    images = held_out.stacked(len(held_out))
    meters, _ = open_meters()
    for path in given.runs:
        stylex = StylEx.from_pretrained(path)
        assert stylex.classifier is not None
        print(path)
        if stylex.encoder is not None:
            values = measure(stylex, images, stylex.classifier, meters=meters)
            print(f"  {len(images)} held-out digits: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))
        own = explanation(stylex, images[: given.images])
        found = evaluate(own.subject, own.lists, random=DRAWINGS)
        print(f"  flips in % of {given.images}, K = 1 ... {TOP} moved together")
        for name in (ATTRIBUTES, RANDOM, VARIANCE):
            print(f"    {name:10} " + " ".join(f"{100 * share:4.0f}" for share in found.rankings[name].share()))
        print(f"    at some K  {100 * float((found.least > 0).mean()):4.0f}")


if __name__ == "__main__":
    main()
