"""Recording what the original graphs compute, layer by layer. Names are imported when first used: they need TensorFlow."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylexport.reference_tf.record.record_release import record, summary

_HOME = {"record": "record_release", "summary": "record_release"}
__all__ = ["record", "summary"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
