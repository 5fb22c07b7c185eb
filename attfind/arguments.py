"""Arguments from Python, checked as the command line checks its options: each mistake is one clear error, before anything long begins."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.torch_models.classifiers.preprocessing import Preprocessing

NUMBERS_OF = {"size": "height, width", "range": "black, white", "mean": "one, or one a channel", "std": "one, or one a channel"}


def check_counts(least: int = 1, **counts: Any) -> None:
    """Raises BadInput where a number of things is not a whole number from `least` on; None is none given.

    Example:
        >>> check_counts(images=6, top=None)
        >>> check_counts(images=0)
        Traceback (most recent call last):
        ...
        stylexport.common.errors.BadInput: images 0: give a whole number, 1 or more

    """
    for name, value in counts.items():
        if value is not None and (not isinstance(value, Integral) or isinstance(value, bool) or value < least):
            raise BadInput(f"{name} {value!r}: give a whole number, {least} or more")


def check_numbers(**values: Any) -> None:
    """Raises BadInput where a value is not a finite number."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise BadInput(f"{name} {value!r}: must be a finite number")


def label_tuple(labels: Sequence[str]) -> tuple[str, ...]:
    """The label names. Raises BadInput where they are no list of names, or two are one."""
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise BadInput(f"labels {labels!r}: give a list of names, one a logit, such as ('old', 'young')")
    if twice := [label for i, label in enumerate(labels) if label in labels[:i]]:
        raise BadInput(f"labels: {twice[0]!r} names two logits; give each a name of its own")
    return tuple(labels)


def preprocessing_changes(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a classifier's preprocessing that are to be changed. Raises BadInput for another name, or a value of another kind."""
    names = [field.name for field in dataclasses.fields(Preprocessing)]
    found: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if name not in names:
            raise BadInput(f"preprocessing {name!r}: there are {', '.join(names)}")
        if name not in NUMBERS_OF or value is None:
            found[name] = value
            continue
        values: list[Any] = [value] if isinstance(value, Real) else list(value) if isinstance(value, Sequence | np.ndarray) else []
        kind = Integral if name == "size" else Real
        counts = {"size": (2,), "range": (2,)}.get(name, (0, 1, 3))
        if len(values) not in counts or isinstance(value, str) or not all(isinstance(one, kind) and math.isfinite(one) for one in values):
            raise BadInput(f"preprocessing {name}={value!r}: give numbers ({NUMBERS_OF[name]})")
        found[name] = tuple(int(one) if name == "size" else float(one) for one in values)
    return found


def check_images(values: Array, image_range: tuple[float, float]) -> None:
    """Raises BadInput where images are not finite numbers [N, 3, H, W] in the model's range; a thousandth beyond it is rounding."""
    low, high = image_range
    if values.ndim != 4 or not len(values) or values.shape[1] != 3 or values.dtype.kind not in "fiu":
        raise BadInput(f"the images are {values.dtype} {list(values.shape)}; finite numbers [N, 3, H, W] are needed")
    if not np.isfinite(values).all():
        raise BadInput("the images hold numbers that are not finite; finite numbers [N, 3, H, W] are needed")
    slack = (high - low) / 1000
    if values.min() < low - slack or values.max() > high + slack:
        found = f"the images run from {values.min():g} to {values.max():g}, and this model's from {low:g} to {high:g}"
        raise BadInput(f"{found}; scale them, or name the folder of the pictures, which are read so")
