"""Recording what the original graphs compute, layer by layer. Names are imported when first used: they need TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylexport.common.lazy_names import lazy_names

if TYPE_CHECKING:
    from stylexport.reference_tf.record.record_release import record, summary

_HOME = {"record": "record_release", "summary": "record_release"}
__all__ = ["record", "summary"]

__getattr__ = lazy_names(__name__, _HOME)
