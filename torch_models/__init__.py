"""The PyTorch modules of a StylEx. Names are imported when first used, so that `stylexport.torch_models.config` costs no torch."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Generator": "generator",
    "Encoder": "encoder",
    "Discriminator": "discriminator",
    "MobileNetV1": "mobilenet",
    "StylEx": "stylex",
    "Styles": "layers.styles",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
