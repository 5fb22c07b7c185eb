"""Whether the classifier says the same of image and reconstruction (Lang et al. 2021, section 3.2, L_cls)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def kl(logits: Tensor, again: Tensor) -> Tensor:
    """KL(C(x) || C(x')) = sum_y p(y) (log p(y) - log q(y)) in nats, mean over samples of raw logits [N, labels]; no axes.

    p is the classifier's answer for the image, q that for its reconstruction.
    """
    return F.kl_div(again.log_softmax(1), logits.log_softmax(1), reduction="batchmean", log_target=True)


def same_answer(logits: Tensor, again: Tensor) -> Tensor:
    """Share of samples whose largest logit is the same label's; no axes, no gradient."""
    return (logits.argmax(1) == again.argmax(1)).float().mean()
