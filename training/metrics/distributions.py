"""Distances between two samples of features, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def kid(left: Tensor, right: Tensor) -> float:
    """The squared maximum mean discrepancy of [N, F] and [N, F] under k(x, y) = (x.y / F + 1)^3, unbiased: it may be negative.

    Binkowski et al. 2018 ("Demystifying MMD GANs"), over all pairs at once. Row i of one may come from row i of the other, as a
    reconstruction comes from its image, so that k(x_i, y_i) is left out (Gretton et al. 2012, lemma 6).
    """
    x, y = left.cpu().double(), right.cpu().double()
    count = len(x)

    def mean(a: Tensor, b: Tensor) -> Tensor:
        kernel: Tensor = (a @ b.T / a.shape[1] + 1) ** 3
        return (kernel.sum() - kernel.trace()) / (count * (count - 1))

    return float(mean(x, x) + mean(y, y) - 2 * mean(x, y))


def fid(left: Tensor, right: Tensor) -> float:
    """Frechet's distance of two Gaussians with the samples' means and covariances (Heusel et al. 2017), of [N, F] and [M, F].

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With centred samples A and B over the root of their degrees of freedom, C1 = A'A and
    C2 = B'B, the last trace is the sum of the singular values of A B'. Its bias falls with N: compare equal N alone.
    """
    samples = [x.cpu().double() for x in (left, right)]
    centred = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in samples]
    means = samples[0].mean(0) - samples[1].mean(0)
    spread = sum(float(x.square().sum()) for x in centred)
    return float(means.square().sum()) + spread - 2 * float(torch.linalg.svdvals(centred[0] @ centred[1].T).sum())
