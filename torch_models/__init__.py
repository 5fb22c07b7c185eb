"""The PyTorch modules of a StylEx. Names are imported when first used, so that `stylexport.torch_models.config` costs no torch."""

from __future__ import annotations

from stylexport.common.lazy_names import lazy_names

_HOME = {
    "Generator": "generator",
    "Encoder": "encoder",
    "Discriminator": "discriminator",
    "MobileNetV1": "mobilenet",
    "StyleGAN2Discriminator": "stylegan2",
    "StyleGAN2Generator": "stylegan2",
    "StylEx": "stylex",
    "Styles": "layers.styles",
}
__all__ = sorted(_HOME)

__getattr__ = lazy_names(__name__, _HOME)
