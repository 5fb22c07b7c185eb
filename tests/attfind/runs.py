"""Small runs made of given effects."""

from __future__ import annotations

from typing import Any

import numpy as np

from stylexport.attfind.effects.effects import Effects

LAYERS = (("b4.conv1", 5), ("b8.conv0", 4), ("b8.conv1", 3))


def made(effects: Any, base: Any, **more: Any) -> Effects:
    """A finished run of effects [N, 2, S, L] and logits [N, L]; latents, styles and the rest are made up."""
    effects, base = np.asarray(effects, np.float32), np.asarray(base, np.float32)
    n, _, size, labels = effects.shape
    styles = np.linspace(-1, 1, n * size, dtype=np.float32).reshape(n, size)
    values: dict[str, Any] = {
        "effects": effects,
        "base_logits": base,
        "latents": np.linspace(0, 1, n * 3, dtype=np.float32).reshape(n, 3),
        "styles": styles,
        "style_min": styles.min(0),
        "style_max": styles.max(0),
        "done": np.ones(n, bool),
        "layers": LAYERS,
        "labels": tuple("abc"[:labels]),
        "about": {"shift": 1.0},
    }
    return Effects(**{**values, **more})
