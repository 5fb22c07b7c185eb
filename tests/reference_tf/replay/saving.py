"""A module saved, opened again by the project's own reader, and walked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.formats.savedmodel.functions import Function, inference
from stylexport.reference_tf.replay import kernels
from stylexport.reference_tf.replay.walk import walk


class Method(tf.Module):
    """A function of float32 inputs, and of variables that hold `numbers`, as a method called `run`."""

    def __init__(self, function: Callable[..., Any], shapes: Sequence[Sequence[int | None]], *numbers: Any) -> None:
        super().__init__()
        self.numbers = [tf.Variable(value) for value in numbers]
        specs = [tf.TensorSpec(shape, name=f"x{i}") for i, shape in enumerate(shapes)]
        self.run = tf.function(lambda *given: function(*given, *self.numbers), input_signature=specs, autograph=False)


def saved(module: tf.Module, folder: Path) -> Artefact:
    """The module's SavedModel, opened."""
    tf.saved_model.save(module, str(folder))
    return open_artefact(folder)


def callable_at(artefact: Artefact, path: str) -> Function:
    """The function at `path`, which must be there."""
    function = inference(artefact, path)
    assert function is not None
    return function


def values(artefact: Artefact, path: str, *given: Array, **options: Any) -> list[tuple[Array, Array]]:
    """The function's outputs in both precisions, for the same inputs in both."""
    by_key = {variable.key: variable for variable in artefact.variables}
    pairs = [(value, value.astype(np.float64) if value.dtype == np.float32 else value) for value in given]
    return walk(callable_at(artefact, path), pairs, lambda key: artefact.read(by_key[key]), **options)


def replayed(folder: Path, function: Callable[..., Any], *given: Array) -> tuple[Array, Array]:
    """The first output of a function that is saved and walked."""
    module = Method(function, [value.shape for value in given])
    return values(saved(module, folder), "run", *given)[0]


def distance(value: Any, expected: Any) -> float:
    """|value - expected| / |expected|, in float64."""
    a, b = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    assert a.shape == b.shape
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def break_kernel(monkeypatch: pytest.MonkeyPatch, op: str, wrong: Callable[[np.ndarray], np.ndarray]) -> None:
    """TensorFlow's float32 kernel of `op` replaced by one that gives `wrong` of the right result."""
    right = kernels.execute

    def execute(name: str, inputs: Sequence[Any], attrs: dict[str, Any]) -> list[Any]:
        results = right(name, inputs, attrs)
        return [tf.constant(wrong(results[0].numpy()))] if name == op and results[0].dtype == tf.float32 else results

    monkeypatch.setattr(kernels, "execute", execute)
