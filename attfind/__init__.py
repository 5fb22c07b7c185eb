"""AttFind: which style coordinates change a classifier's decision (Lang et al. 2021, "Explaining in Style", section 3.3, algorithm 1).

    from stylexport import AttFind

    explainer = AttFind("converted")
    explainer.effects("dlatents.pkl", out="run")
    explainer.select("run")
    explainer.render("run")

`Effects` is what a run measured, `find_attributes` selects attributes from it, `counterfactual` moves them in an image.
"""

from __future__ import annotations

from stylexport.common.lazy_names import lazy_names

_HOME = {
    "AttFind": "api",
    "Effects": "effects.effects",
    "find_attributes": "select.select",
    "Attribute": "select.attributes",
    "Selection": "select.attributes",
    "Rules": "select.rules",
    "counterfactual": "counterfactual",
    "StylExModel": "stylex_model",
    "RandomLatents": "effects.random_latents",
    "Autoencoder": "model",
    "Explained": "model",
}
__all__ = sorted(_HOME)

__getattr__ = lazy_names(__name__, _HOME)
