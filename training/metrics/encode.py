"""From images to what the generator takes, as it is done in training."""

from __future__ import annotations

import torch
from torch import Tensor

from stylexport.common.errors import BadInput
from stylexport.torch_models.stylex import StylEx


def encoded(stylex: StylEx, images: Tensor, logits: Tensor, in_loop: bool = True) -> Tensor:
    """Dlatents [N, latent + labels] of images with these `logits`: w and the label probabilities.

    Without the classifier in the loop (`in_loop` false) every label is as probable as another. Raises BadInput where there is no encoder.
    """
    if stylex.encoder is None:
        raise BadInput("a StylEx without an encoder reconstructs nothing; train or convert one")
    w = stylex.encoder(images)
    probabilities = logits.softmax(1) if in_loop else torch.full_like(logits, 1 / logits.shape[1])
    return torch.cat([w, probabilities.to(w.dtype)], 1)
