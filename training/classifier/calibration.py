"""How often a classifier is right, and whether its probabilities say so (Guo et al. 2017, "On Calibration of Modern Neural Networks")."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylexport.common.types import Array

BINS = 15
# The temperature is sought between these. Logits that separate the classes without an error fit ever better, and get the lowest.
TEMPERATURES = (0.05, 20.0)


def calibration_metrics(logits: Array, targets: Array, labels: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy and calibration of logits [N, L] for targets [N].

    The temperature is fitted on every other image; on the rest the calibration error is measured with and without it.
    """
    p = softmax(logits)
    fitted, rest = slice(0, None, 2), slice(1, None, 2)
    heat = temperature(logits[fitted], targets[fitted])
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (targets, p.argmax(1)), 1)
    return {
        "images": len(targets),
        "accuracy": float((p.argmax(1) == targets).mean()),
        "by_label": {name: float(row[i] / max(row.sum(), 1)) for i, (name, row) in enumerate(zip(labels, confusion, strict=True))},
        "confusion": confusion.tolist(),
        "log_loss": log_loss(logits, targets),
        "brier": brier(p, targets),
        "ece": calibration_error(p, targets),
        "reliability": reliability(p, targets),
        "temperature": heat,
        "second_half": {
            "ece": calibration_error(p[rest], targets[rest]),
            "ece_at_temperature": calibration_error(softmax(logits[rest] / heat), targets[rest]),
        },
    }


def softmax(logits: Array) -> Array:
    """Probabilities [N, L] in float64."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    raised = np.exp(shifted)
    return raised / raised.sum(1, keepdims=True)


def log_loss(logits: Array, targets: Array) -> float:
    """Mean of -log p(target), in nats."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(targets)), targets]).mean())


def brier(p: Array, targets: Array) -> float:
    """Mean over images of sum over labels of (p - [label is the target])^2: 0 at best, 2 at worst (Brier 1950)."""
    return float(((p - np.eye(p.shape[1])[targets]) ** 2).sum(1).mean())


def reliability(p: Array, targets: Array, bins: int = BINS) -> list[dict[str, Any]]:
    """Of each bin (low, high] of the confidence max p that has images: how many, their mean confidence, the share that is right."""
    confidence, right = p.max(1), p.argmax(1) == targets
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return [
        {
            "low": b / bins,
            "high": (b + 1) / bins,
            "images": int(own.sum()),
            "confidence": float(confidence[own].mean()),
            "accuracy": float(right[own].mean()),
        }
        for b in range(bins)
        if (own := place == b).any()
    ]


def calibration_error(p: Array, targets: Array, bins: int = BINS) -> float:
    """Expected calibration error: sum over bins of (images in it / N) |accuracy - confidence| (Guo et al., equation 5)."""
    found = reliability(p, targets, bins)
    return sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in found) / len(targets) if len(targets) else 0.0


def temperature(logits: Array, targets: Array) -> float:
    """T with the least log loss of logits / T: the zero of its slope in 1 / T, which only rises, by bisection."""
    z = logits.astype(np.float64)
    own = z[np.arange(len(targets)), targets]

    def slope(heat: float) -> float:
        return float(((softmax(z / heat) * z).sum(1) - own).mean())

    low, high = TEMPERATURES
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) <= 0 else (middle, high)
    return (low * high) ** 0.5
