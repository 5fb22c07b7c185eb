"""The two adversarial losses. A score is higher for what the discriminator takes for real; each loss is a mean over [N, 1] scores.

logistic   discriminator  softplus(-D(x)) + softplus(D(x'))     generator  softplus(-D(x'))     Goodfellow et al. 2014, non-saturating
wgan       discriminator  D(x') - D(x)                          generator  -D(x')               Arjovsky et al. 2017, equation 3
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class AdversarialLoss(NamedTuple):
    """What the discriminator minimises, of (real, fake) scores, and what the generator does, of fake scores."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (F.softplus(-real) + F.softplus(fake)).mean()


def _logistic_generator(fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _wgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (fake - real).mean()


def _wgan_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


ADVERSARIAL = {
    "logistic": AdversarialLoss(_logistic_discriminator, _logistic_generator),
    "wgan": AdversarialLoss(_wgan_discriminator, _wgan_generator),
}
