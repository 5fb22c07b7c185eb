"""Recording what the original graphs compute, layer by layer. Names are imported when first used: they need TensorFlow."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {"record": "record_release", "summary": "record_release"}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
