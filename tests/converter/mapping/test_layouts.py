"""Every layout is undone by its inverse, moves each number where PyTorch expects it, and refuses shapes that are not its own."""

from __future__ import annotations

import numpy as np
import pytest

from converter.mapping.layouts import (
    BY_NAME,
    DenseAfterHwc,
    Depthwise,
    Hwio,
    HwioTurned,
    Layout,
    Squeeze,
    Transpose,
)

SHAPES: dict[str, tuple[int, ...]] = {
    "identity": (2, 3),
    "conv": (3, 2, 5, 4),
    "conv_transposed": (3, 2, 5, 4),
    "depthwise": (3, 2, 5, 2),
    "dense": (5, 4),
    "dense_as_conv": (5, 4),
    "vector": (1, 7, 1, 1),
    "scalar": (1, 1),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_inverse_undoes_it(name: str) -> None:
    layout, shape = BY_NAME[name], SHAPES[name]
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    turned = layout.forward(array)
    assert turned.shape == layout.shape(shape)
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(layout.inverse(turned, shape), array)


def test_a_kernel_goes_from_hwio_to_oihw() -> None:
    array = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    np.testing.assert_array_equal(Hwio().forward(array)[3, 4, 2, 1], array[2, 1, 4, 3])


def test_a_turned_kernel_is_reversed_in_both_axes() -> None:
    array = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    np.testing.assert_array_equal(HwioTurned().forward(array), Hwio().forward(array)[:, :, ::-1, ::-1])


def test_a_depthwise_kernel_numbers_outputs_channel_first() -> None:
    array = np.random.default_rng(0).normal(size=(3, 2, 5, 2))
    assert Depthwise().forward(array)[4 * 2 + 1, 0, 2, 1] == array[2, 1, 4, 1]


def test_a_dense_layer_behind_a_flattened_hwc_map_is_reordered() -> None:
    layout, maps = DenseAfterHwc(4, 4), np.random.default_rng(0).normal(size=(1, 4, 4, 3))
    weight = np.random.default_rng(1).normal(size=(48, 2))
    expected = maps.reshape(1, -1) @ weight
    np.testing.assert_allclose(maps.transpose(0, 3, 1, 2).reshape(1, -1) @ layout.forward(weight).T, expected)
    np.testing.assert_array_equal(layout.inverse(layout.forward(weight), (48, 2)), weight)


@pytest.mark.parametrize(
    ("layout", "shape"), [(Hwio(), (3, 3, 4)), (Transpose(), (3,)), (Squeeze(1), (2, 3)), (Squeeze(0), (2,)), (Squeeze(2), (4,))]
)
def test_a_shape_that_is_not_the_layouts_own_is_refused(layout: Layout, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="axes"):
        layout.shape(shape)


def test_squeezing_keeps_a_channel_of_one() -> None:
    assert Squeeze(1).shape((1, 1)) == (1,)
    assert Squeeze(2).shape((1, 1, 1, 1)) == (1, 1)
