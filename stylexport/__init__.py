"""StylExport: a released StylEx from TensorFlow into PyTorch, with proof. The names most users import; each loads its room when used."""

from __future__ import annotations

import importlib
from typing import Any

from stylexport.common.version import __version__

_HOME = {
    "convert": "stylexport.converter.output.convert",
    "inspect": "stylexport.inspection",
    "load": "stylexport.loading",
    "StylexportError": "stylexport.common.errors",
}
__all__ = ["StylexportError", "__version__", "convert", "inspect", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
