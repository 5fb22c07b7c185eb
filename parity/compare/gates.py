"""What must hold of a network's behaviour in float32, whatever its layers say: the same answers, the same image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from stylexport.parity.compare.comparison import NetworkResult
from stylexport.parity.result import Gate
from stylexport.torch_models.kinds import kind_named_by

PROBABILITY = 1e-4  # largest difference of a probability
PSNR = 100.0  # decibels, of images whose range is 2
RANGE = 2.0


def gates(result: NetworkResult) -> list[Gate]:
    """The gates of a network; none where it has none. NaN passes no gate."""
    name = result.port.network
    found = []
    kind = kind_named_by(result.original.network.config)
    rows_by_output: Mapping[str, tuple[Row, ...]] = kind.gates.load() if kind and kind.gates else {}
    for output, rows in rows_by_output.items():
        if output in result.outputs and output in result.original.network.outputs:
            ours, theirs = result.outputs[output].double(), result.original.output(output).double()
            if ours.shape == theirs.shape:
                found += [
                    Gate(name, *row(ours, theirs, str((result.original.network.config or {}).get("output", "linear")))) for row in rows
                ]
    return found


def probabilities(output: Tensor, head: str) -> Tensor:
    """Class probabilities [N, labels] of a classifier's output; `head` is what the original applied to its logits already."""
    if head != "linear":
        return output
    return output.softmax(1) if output.shape[1] > 1 else output.sigmoid()


def _same_answers(ours: Tensor, theirs: Tensor, head: str) -> tuple[str, float, float, bool]:
    if ours.shape[1] > 1:
        differing = float((ours.argmax(1) != theirs.argmax(1)).sum())
    else:
        middle = 0.5 if head == "sigmoid" else 0.0
        differing = float(((ours > middle) != (theirs > middle)).sum())
    finite = bool(torch.isfinite(ours).all())
    return "inputs with another answer", differing, 0.0, differing == 0 and finite


def _near_probabilities(ours: Tensor, theirs: Tensor, head: str) -> tuple[str, float, float, bool]:
    largest = float((probabilities(ours, head) - probabilities(theirs, head)).abs().max())
    return "largest difference of a probability", largest, PROBABILITY, largest < PROBABILITY


def _near_image(ours: Tensor, theirs: Tensor, head: str) -> tuple[str, float, float, bool]:
    mean_square = float((ours - theirs).square().mean())
    psnr = 10 * math.log10(RANGE**2 / mean_square) if mean_square > 0 else math.nan if math.isnan(mean_square) else math.inf
    return "PSNR of the image in dB", psnr, PSNR, psnr > PSNR


Row = Callable[[Tensor, Tensor, str], tuple[str, float, float, bool]]
# Output -> its gates, for the kinds of network that name them (`NetworkKind.gates`).
CLASSIFIER_GATES: Mapping[str, tuple[Row, ...]] = {"logits": (_same_answers, _near_probabilities)}
IMAGE_GATES: Mapping[str, tuple[Row, ...]] = {"image": (_near_image,)}
