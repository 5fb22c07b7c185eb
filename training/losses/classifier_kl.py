"""Whether the classifier says the same of image and reconstruction (Lang et al. 2021, section 3.2, L_cls).

The settings `losses.agreement` and `losses.agreement_random` are the weights of this KL divergence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def classifier_kl(logits: Tensor, reconstructed: Tensor) -> Tensor:
    """KL(C(x) || C(x')) = sum_y p(y) (log p(y) - log q(y)) in nats, mean over samples of raw logits [N, labels]; no axes.

    p is the classifier's answer for the image, q that for its reconstruction.

    Example:
        >>> import torch
        >>> p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.6, 0.4]])
        >>> round(float(classifier_kl(p.log(), q.log())), 4)
        0.2263

    """
    return F.kl_div(reconstructed.log_softmax(1), logits.log_softmax(1), reduction="batchmean", log_target=True)


def same_answer(logits: Tensor, reconstructed: Tensor) -> Tensor:
    """Share of samples whose largest logit [N, labels] is the same label's; no axes, no gradient."""
    return (logits.argmax(1) == reconstructed.argmax(1)).float().mean()


def commonest_share(logits: Tensor) -> Tensor:
    """Share of samples that get the commonest answer of logits [N, labels]; 1 where a classifier says the same of everything."""
    labels = torch.arange(logits.shape[1], device=logits.device)
    return (logits.argmax(1, keepdim=True) == labels).float().mean(0).max()  # bincount would wait for a GPU
