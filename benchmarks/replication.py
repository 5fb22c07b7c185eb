"""What the published replication's departures from the original do to class probabilities, on the embedded release's held-out digits.

Each departure is put into a copy of the converted StylEx, alone and then all at once, and the probabilities that the classifier gives
are compared with those of the right port: of the digits themselves, and of their reconstructions. docs/replication.md says where each
departure is known from.

    python -m benchmarks.replication [--digits 500] [--json]
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.releases import embedded_stylex
from stylexport.checkpoints import EMBEDDED
from stylexport.demonstration import digits_as_images
from stylexport.torch_models import MobileNetV1, StylEx
from stylexport.torch_models.mobilenet import BatchNorm, PaddedConv


class LogitsInDlatent(StylEx):
    """A StylEx whose dlatent ends in the classifier's raw outputs instead of its probabilities."""

    def encode(self, image: Tensor) -> Tensor:
        """`image` [N, 3, R, R] to [N, latent + labels]: w, then the logits."""
        w = super().encode(image)
        logits = self.classify(image)
        return torch.cat([w[:, : -logits.shape[1]], logits], 1)


@dataclass(frozen=True)
class Departure:
    """A name, and what it does to a StylEx."""

    name: str
    change: Callable[[StylEx], None]


def logits_in_dlatent(stylex: StylEx) -> None:
    """Raw logits where the generator was trained with probabilities."""
    stylex.__class__ = LogitsInDlatent


def symmetric_padding(stylex: StylEx) -> None:
    """One zero on each side, whatever the size: TensorFlow's SAME puts none before and one behind at stride 2 on even sizes."""
    for module in _classifier(stylex).modules():
        if isinstance(module, PaddedConv) and module.stride == (2, 2):
            module.padding = (1, 1, 1, 1)


def pytorch_epsilon(stylex: StylEx) -> None:
    """PyTorch's BatchNorm epsilon, 1e-5, where Keras's is 1e-3."""
    for module in _classifier(stylex).modules():
        if isinstance(module, BatchNorm):
            module.epsilon = 1e-5


def zero_to_one(stylex: StylEx) -> None:
    """Images in [0, 1] for a classifier that takes [-1, 1]."""
    classifier = _classifier(stylex)
    classifier.config = dataclasses.replace(classifier.config, image_scale=0.5, image_shift=0.5)


DEPARTURES = (
    Departure("logits for probabilities in the dlatent", logits_in_dlatent),
    Departure("padding of one on each side", symmetric_padding),
    Departure("BatchNorm epsilon 1e-5", pytorch_epsilon),
    Departure("images in [0, 1]", zero_to_one),
)


@dataclass(frozen=True)
class Moved:
    """How far probabilities moved, of digits and of reconstructions: mean and largest difference, share with another answer."""

    departure: str
    mean: float
    largest: float
    changed: float
    mean_reconstructed: float
    largest_reconstructed: float
    changed_reconstructed: float


def measure(digits: int) -> list[Moved]:
    """A row a departure, and one for all at once, over the first `digits` held-out digits."""
    right = embedded_stylex()
    with np.load(EMBEDDED / "digits.npz") as file:
        images = digits_as_images(file["images"][:digits])
    before = _probabilities(right, images)
    rows = []
    for name, departures in (*((d.name, (d,)) for d in DEPARTURES), ("all four", DEPARTURES)):
        wrong = copy.deepcopy(right)
        for departure in departures:
            departure.change(wrong)
        rows.append(Moved(name, *_differences(before, _probabilities(wrong, images))))
    return rows


def _classifier(stylex: StylEx) -> MobileNetV1:
    assert isinstance(stylex.classifier, MobileNetV1)
    return stylex.classifier


def _probabilities(stylex: StylEx, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of the images and of their reconstructions, each [N, labels]."""
    with torch.no_grad():
        return stylex.classify(images).softmax(1), stylex.classify(stylex(images)).softmax(1)


def _differences(before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> list[float]:
    found = []
    for right, wrong in zip(before, after, strict=True):
        moved = (wrong - right).abs().max(1).values
        found += [float(moved.mean()), float(moved.max()), float((right.argmax(1) != wrong.argmax(1)).float().mean())]
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replication", description="What the replication's departures do.")
    parser.add_argument("--digits", type=int, default=500, help="how many held-out digits (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    rows = measure(given.digits)
    if given.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
        return
    print(f"difference of class probabilities over {given.digits} held-out digits  |  of their reconstructions")
    print(f"{'departure':42}{'mean':>8}{'largest':>9}{'changed':>9}   |{'mean':>8}{'largest':>9}{'changed':>9}")
    for r in rows:
        own = f"{r.mean:8.4f}{r.largest:9.4f}{r.changed:9.1%}"
        print(f"{r.departure:42}{own}   |{r.mean_reconstructed:8.4f}{r.largest_reconstructed:9.4f}{r.changed_reconstructed:9.1%}")


if __name__ == "__main__":
    main()
