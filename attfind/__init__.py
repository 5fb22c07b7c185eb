"""AttFind: which style coordinates change a classifier's decision (Lang et al. 2021, "Explaining in Style", section 3.3, algorithm 1).

    from stylexport import AttFind

    explainer = AttFind("converted")
    explainer.effects("dlatents.pkl", out="run")
    explainer.select("run")
    explainer.render("run")

`Effects` is what a run measured, `find_attributes` selects attributes from it, `counterfactual` moves them in an image.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "AttFind": "api",
    "Effects": "effects.effects",
    "find_attributes": "select.select",
    "Attribute": "select.attributes",
    "Selection": "select.attributes",
    "Rules": "select.rules",
    "counterfactual": "counterfactual",
    "StylExModel": "stylex_model",
    "Autoencoder": "model",
    "Explained": "model",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
