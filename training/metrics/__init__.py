"""The quality of a checkpoint, on images that were not trained on (docs/perceptual.md).

    meters, remarks = open_meters(device, stylex.image_range)  # once a run
    measure(stylex, images, classify, meters=meters)  # at each checkpoint
    sufficiency(stylex, images[:64], classify, top=10)

Metrics that cannot be computed here are left out, and `remarks` says why.
"""

from stylexport.training.metrics.reconstruction_metrics import Meters, measure, open_meters
from stylexport.training.metrics.sufficiency import Explanation, explained, of_latents, sufficiency

__all__ = ["Explanation", "Meters", "explained", "measure", "of_latents", "open_meters", "sufficiency"]
