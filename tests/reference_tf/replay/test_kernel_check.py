"""A float32 kernel that computes something else than its definition is found; rounding, however much of it, is not called a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stylexport.converter.formats.base import Artefact
from stylexport.reference_tf.replay.kernel_check import WrongKernel, wrong_kernels
from tests.reference_tf.replay.saving import Method, break_kernel, callable_at, saved

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(21)
MAPS = RNG.standard_normal((2, 9, 9, 3)).astype(np.float32)
KERNEL = RNG.standard_normal((3, 3, 3, 4)).astype(np.float32)


def found(artefact: Artefact, *given: np.ndarray) -> list[WrongKernel]:
    by_key = {variable.key: variable for variable in artefact.variables}
    return wrong_kernels(callable_at(artefact, "run"), given, lambda key: artefact.read(by_key[key]))


def pooled(x: Any) -> Any:
    """A convolution, a pooling and what follows it."""
    y = tf.nn.conv2d(x, tf.constant(KERNEL), 1, "SAME", name="before")
    return tf.tanh(tf.nn.max_pool2d(y, 1, 3, "VALID", name="pool"), name="behind")


def test_a_wrong_kernel_is_named_with_its_error_and_what_depends_on_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = saved(Method(pooled, [MAPS.shape]), tmp_path)
    assert found(artefact, MAPS) == []
    break_kernel(monkeypatch, "MaxPool", lambda y: y * np.float32(0.25))
    (fault,) = found(artefact, MAPS)
    assert (fault.node, fault.op) == ("pool", "MaxPool")
    assert fault.error == pytest.approx(0.75)
    assert str(fault) == "MaxPool at pool: TensorFlow's float32 kernel is off by 0.75 from its definition on the same inputs"


def test_one_wrong_element_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = saved(Method(pooled, [MAPS.shape]), tmp_path)

    def shifted(y: np.ndarray) -> np.ndarray:
        y = y.copy()
        y[0, 0, 0, 0] += 0.5
        return y

    break_kernel(monkeypatch, "Conv2D", shifted)
    assert [fault.node for fault in found(artefact, MAPS)] == ["before"]


def test_a_kernel_that_rounds_its_factors_to_bfloat16_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artefact = saved(Method(pooled, [MAPS.shape]), tmp_path)
    break_kernel(monkeypatch, "Conv2D", lambda y: tf.cast(tf.cast(y, tf.bfloat16), tf.float32).numpy())
    assert [fault.node for fault in found(artefact, MAPS)] == ["before"]


ROUNDING: dict[str, Callable[[Any], Any]] = {
    "a sum whose terms cancel": lambda x: tf.nn.conv2d(x * 0.0 + 1e4 / 3, tf.constant(LAPLACE, tf.float32), 1, "VALID"),
    "a normalisation of what hardly varies": lambda x: tf.compat.v1.nn.fused_batch_norm(
        1000.0 + x * 1e-3, tf.ones(3), tf.zeros(3), epsilon=1e-9, is_training=True
    )[0],
    "a logarithm near one": lambda x: tf.math.log(1.0 + x * 1e-6),
    "a power beyond float32": lambda x: tf.exp(-200.0 - tf.abs(x)),
    "a step": lambda x: tf.math.floor(x * 10.0) // 0.1,
    "a loop": lambda x: tf.while_loop(lambda i, y: i < 40, lambda i, y: (i + 1, 3.9 * y * (1 - y)), (0, tf.sigmoid(x)))[1],
    "a bilinear resize": lambda x: tf.raw_ops.ResizeBilinear(images=x, size=(100, 71), half_pixel_centers=True),
}
LAPLACE = np.einsum("hw,co->hwco", [[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.eye(3))


@pytest.mark.parametrize("name", ROUNDING)
def test_rounding_is_no_mistake_however_large_it_becomes(name: str, tmp_path: Path) -> None:
    assert found(saved(Method(ROUNDING[name], [MAPS.shape]), tmp_path), MAPS) == []
