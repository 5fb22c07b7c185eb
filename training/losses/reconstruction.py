"""How far a reconstruction is from its image, in pixels and in w (Lang et al. 2021, section 3.2, L_rec)."""

from __future__ import annotations

from torch import Tensor


def image_l1(image: Tensor, reconstruction: Tensor) -> Tensor:
    """L_x = mean |x' - x| over samples, channels and pixels of [N, C, H, W]; no axes."""
    return (reconstruction - image).abs().mean()


def w_l1(w: Tensor, again: Tensor) -> Tensor:
    """L_w = mean |E(x') - E(x)| over samples and entries of [N, latent]; no axes."""
    return (again - w).abs().mean()
