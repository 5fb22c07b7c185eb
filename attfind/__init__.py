"""AttFind: which style coordinates change a classifier's mind (Lang et al. 2021, "Explaining in Style", section 3.3 and algorithm 1).

    from stylexport.attfind import Effects, counterfactual, find_attributes

`Effects` is what a run measured, `find_attributes` selects coordinates from it, `counterfactual` moves them in an image.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Effects": "effects.run_store",
    "find_attributes": "select.select",
    "Attribute": "select.attributes",
    "counterfactual": "show.image_editor",
    "StylExModel": "model",
    "Autoencoder": "model",
    "Explained": "model",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
