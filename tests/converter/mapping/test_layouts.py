"""Every layout is undone by its inverse, moves each number where PyTorch expects it, and refuses shapes that are not its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stylexport.converter.mapping.layout_names import BY_NAME, MAPS, by_description, by_name
from stylexport.converter.mapping.layouts import (
    DenseAfterHwc,
    DenseBeforeHwc,
    Depthwise,
    Hwio,
    HwioFlipped,
    Hwoi,
    Layout,
    Squeeze,
    Transpose,
    VectorHwc,
)

SHAPES: dict[str, tuple[int, ...]] = {
    "identity": (2, 3),
    "conv": (3, 2, 5, 4),
    "conv_transpose": (3, 2, 5, 4),
    "conv_turned": (3, 2, 5, 4),
    "conv1d": (3, 5, 4),
    "conv3d": (2, 3, 4, 5, 6),
    "conv1d_transpose": (3, 5, 4),
    "conv3d_transpose": (2, 3, 4, 5, 6),
    "depthwise1d": (3, 5, 2),
    "lstm": (5, 8),
    "basic_lstm": (8,),
    "gru": (5, 6),
    "gates": (5, 6),
    "heads": (5, 2, 3),
    "heads_bias": (2, 3),
    "heads_out": (2, 3, 5),
    "depthwise": (3, 2, 5, 2),
    "dense": (5, 4),
    "dense_as_conv": (5, 4),
    "vector": (1, 7, 1, 1),
    "scalar": (1, 1),
    "dense_after_hwc": (2 * 3 * 5, 4),
    "dense_before_hwc": (4, 2 * 3 * 5),
    "vector_hwc": (2 * 3 * 5,),
}
LAYOUTS = BY_NAME | {name: kind(2, 3) for name, kind in MAPS.items()} | {"gates": by_name({"gates": [2, 0, 1]})}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_ledgers_word_for_it_makes_it_anew(name: str) -> None:
    layout, shape = LAYOUTS[name], SHAPES[name]
    again, array = by_description(layout.name, len(layout.shape(shape))), np.arange(math.prod(shape)).reshape(shape)
    assert (again.name, again.shape(shape)) == (layout.name, layout.shape(shape))
    np.testing.assert_array_equal(again.forward(array), layout.forward(array))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_inverse_undoes_it(name: str) -> None:
    layout, shape = LAYOUTS[name], SHAPES[name]
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
    np.testing.assert_array_equal(HwioFlipped().forward(array), Hwio().forward(array)[:, :, ::-1, ::-1])


def test_a_depthwise_kernel_numbers_outputs_channel_first() -> None:
    array = np.random.default_rng(0).normal(size=(3, 2, 5, 2))
    assert Depthwise().forward(array)[4 * 2 + 1, 0, 2, 1] == array[2, 1, 4, 1]


def test_a_dense_layer_behind_a_flattened_hwc_map_is_reordered() -> None:
    layout, maps = DenseAfterHwc(4, 4), np.random.default_rng(0).normal(size=(1, 4, 4, 3))
    weight = np.random.default_rng(1).normal(size=(48, 2))
    expected = maps.reshape(1, -1) @ weight
    np.testing.assert_allclose(maps.transpose(0, 3, 1, 2).reshape(1, -1) @ layout.forward(weight).T, expected)
    np.testing.assert_array_equal(layout.inverse(layout.forward(weight), (48, 2)), weight)


def test_a_dense_layer_before_an_hwc_map_is_reordered_with_its_bias() -> None:
    rng = np.random.default_rng(0)
    code, weight, bias = rng.normal(size=(2, 7)), rng.normal(size=(7, 30)), rng.normal(size=30)
    expected = (code @ weight + bias).reshape(2, 2, 3, 5).transpose(0, 3, 1, 2)  # [N, H, W, C] -> [N, C, H, W]
    found = code @ DenseBeforeHwc(2, 3).forward(weight).T + VectorHwc(2, 3).forward(bias)
    np.testing.assert_allclose(found.reshape(2, 5, 2, 3), expected)


def test_a_transposed_convolutions_kernel_goes_from_hwoi_to_iohw() -> None:
    array = np.random.default_rng(0).normal(size=(3, 2, 5, 4))
    np.testing.assert_array_equal(Hwoi().forward(array)[3, 4, 2, 1], array[2, 1, 4, 3])


@pytest.mark.parametrize(
    ("layout", "shape"),
    [(DenseAfterHwc(2, 3), (16, 4)), (DenseBeforeHwc(2, 3), (18, 4)), (VectorHwc(2, 3), (2, 3)), (VectorHwc(4, 4), (24,))],
)
def test_a_map_of_another_size_is_refused(layout: Layout, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a multiple of"):
        layout.shape(shape)


@pytest.mark.parametrize(
    ("layout", "shape"), [(Hwio(), (3, 3, 4)), (Transpose(), (3,)), (Squeeze(1), (2, 3)), (Squeeze(0), (2,)), (Squeeze(2), (4,))]
)
def test_a_shape_that_is_not_the_layouts_own_is_refused(layout: Layout, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="axes"):
        layout.shape(shape)


def test_squeezing_keeps_a_channel_of_one() -> None:
    assert Squeeze(1).shape((1, 1)) == (1,)
    assert Squeeze(2).shape((1, 1, 1, 1)) == (1, 1)
