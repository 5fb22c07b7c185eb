"""LPIPS, the perceptual distance of Zhang et al. 2018, with weights that can be had offline (docs/perceptual.md).

    distance = lpips("alex", device, image_range=(-1.0, 1.0))
    distance(images, reconstructions)   # [N], differentiable

`lpips` raises BadInput where package or weights are not to be had; `lpips_or_why` gives None and the reason.
"""

from perceptual.distance import NETS, Distance, lpips, lpips_or_why

__all__ = ["NETS", "Distance", "lpips", "lpips_or_why"]
