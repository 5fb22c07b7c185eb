"""Assignment is by name and complete, or it is refused; random draws leave nothing at a default."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylexport.common.errors import BadInput, MappingError
from stylexport.reference_tf.networks import build, forward
from stylexport.reference_tf.networks.variables import assign, draw, load_variables, names
from tests.reference_tf.sizes import ALL, DISCRIMINATOR, ENCODER, GENERATOR

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def encoder() -> Any:
    return build.build(ENCODER)


def test_a_missing_variable_is_named(encoder: Any) -> None:
    variables = draw(ENCODER, encoder, 1)
    del variables["encoder/EncoderBlock8x8/Skip/weight"]
    with pytest.raises(MappingError, match="missing: encoder/EncoderBlock8x8/Skip/weight"):
        assign(encoder, variables)


def test_a_variable_too_many_is_named(encoder: Any) -> None:
    with pytest.raises(MappingError, match="of no variable of this network: encoder/EncoderBlock8x8/Skip/bias"):
        assign(encoder, draw(ENCODER, encoder, 1) | {"encoder/EncoderBlock8x8/Skip/bias": np.ones(7)})


def test_a_shape_that_would_fit_by_broadcasting_is_refused_and_nothing_is_assigned(encoder: Any) -> None:
    assign(encoder, draw(ENCODER, encoder, 1))
    before = [v.numpy() for v in encoder.weights]
    variables = draw(ENCODER, encoder, 2) | {"encoder/EncoderOutputBiasAct/OutputBiasAct": np.ones((1, 4))}
    with pytest.raises(MappingError, match=r"OutputBiasAct \(1, 4\), expected \(4,\)"):
        assign(encoder, variables)
    assert all(np.array_equal(old, new) for old, new in zip(before, encoder.weights, strict=True))


def test_names_as_tensorflow_prints_them_and_another_counter_are_the_same_names() -> None:
    network = build.build(DISCRIMINATOR)
    variables = draw(DISCRIMINATOR, network, 3)
    last = variables["discriminator_1/style_gan2_dense_4/weight"]
    assign(network, {f"{name.replace('dense_4', 'dense_17')}:0": value for name, value in variables.items()})
    np.testing.assert_array_equal(names(network)["discriminator_1/style_gan2_dense_4/weight"], last)


@pytest.mark.parametrize("network", ALL)
def test_a_draw_leaves_no_variable_at_zeros_ones_or_symmetric(network: str) -> None:
    values = draw(ALL[network], build.build(ALL[network]), 4)
    for name, value in values.items():
        assert np.all(value != 0), name
        assert np.all(value != 1), name
        if value.ndim == 4 and value.shape[0] > 1:
            assert not np.allclose(value, value[::-1]), name
            assert not np.allclose(value, value.swapaxes(0, 1)), name


def test_a_draw_depends_on_the_seed_and_the_name_alone() -> None:
    first, again = draw(ENCODER, build.build(ENCODER), 5), draw(ENCODER, build.build(ENCODER, "float64"), 5)
    other = draw(ENCODER, build.build(ENCODER), 6)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not any(np.array_equal(first[name], other[name]) for name in first)


def test_what_is_no_saved_model_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no variables/variables\.index"):
        load_variables(tmp_path)


def test_float64_differs_from_float32_by_rounding_alone() -> None:
    variables = draw(GENERATOR, build.build(GENERATOR), 7)
    rng = np.random.default_rng(8)
    given = {"z": rng.standard_normal((3, 6)), "probabilities": np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])}
    single, double = (forward.outputs(GENERATOR, variables, given, dtype) for dtype in ("float32", "float64"))
    for name, exact in double.items():
        assert exact.dtype == np.float64
        share = np.linalg.norm(single[name] - exact) / np.linalg.norm(exact)
        assert 1e-9 < share < 3e-6, name
