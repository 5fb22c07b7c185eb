"""Walking an original graph gives bit for bit what TensorFlow gives of it, and beside it the same function in float64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stylexport.common.errors import BadInput
from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.registry import open_artefact
from stylexport.reference_tf.networks import forward
from stylexport.reference_tf.networks.saved_model import export_network
from tests.reference_tf.replay.saving import callable_at, distance, values
from tests.reference_tf.sizes import ALL, DISCRIMINATOR

pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(8)
IMAGES = RNG.uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32)
PROBABILITIES = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], np.float32)
Z = RNG.standard_normal((4, 6)).astype(np.float32)
DLATENT = np.concatenate([RNG.standard_normal((4, 4)).astype(np.float32), PROBABILITIES], axis=1)
GIVEN: dict[str, list[Array]] = {
    "generator": [Z, PROBABILITIES],
    "encoder": [IMAGES],
    "discriminator": [IMAGES, PROBABILITIES],
    "classifier": [np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))],
}
OUTPUT = {"generator": "image", "encoder": "w", "discriminator": "score", "classifier": "logits"}
SMALLEST = 1e-6  # what rounding the graph's constants to float32 may add up to in a chain of thirty


@pytest.fixture(scope="module", autouse=True)
def _as_saved() -> Iterator[None]:
    """TensorFlow runs the graphs as they are saved: its optimiser fuses operations, which rounds differently."""
    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before.get("disable_meta_optimizer", False)})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every network with a graph that runs on a CPU by itself."""
    folder = tmp_path_factory.mktemp("nhwc")
    for name, config in ALL.items():
        export_network(name, config, None, folder / name, data_format="NHWC", seed=41)
    return {name: folder / name for name in ALL}


@pytest.fixture(scope="module")
def artefacts(folders: dict[str, Path]) -> dict[str, Artefact]:
    return {name: open_artefact(folder) for name, folder in folders.items()}


@pytest.mark.parametrize("network", ALL)
def test_the_models_call_is_bit_for_bit_tensorflows(network: str, folders: dict[str, Path], artefacts: dict[str, Artefact]) -> None:
    given = [tf.constant(value) for value in GIVEN[network]]
    expected = tf.saved_model.load(str(folders[network]))(given[0] if len(given) == 1 else given, training=False)
    ((found, _),) = values(artefacts[network], "", *GIVEN[network])
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("network", ALL)
def test_the_signature_is_bit_for_bit_tensorflows(network: str, folders: dict[str, Path], artefacts: dict[str, Artefact]) -> None:
    function = callable_at(artefacts[network], "signature:serving_default")
    by_name = {"z": Z, "probabilities": PROBABILITIES, "images": GIVEN[network][0]}
    given = {str(x.place[0]): by_name[str(x.place[0])] for x in function.inputs}
    loaded = tf.saved_model.load(str(folders[network]))  # kept: its variables die with it
    (expected,) = loaded.signatures["serving_default"](**{name: tf.constant(value) for name, value in given.items()}).values()
    ((found, _),) = values(artefacts[network], "signature:serving_default", *given.values())
    np.testing.assert_array_equal(found, expected.numpy())


def test_the_generators_members_are_bit_for_bit_tensorflows(folders: dict[str, Path], artefacts: dict[str, Artefact]) -> None:
    loaded, artefact = tf.saved_model.load(str(folders["generator"])), artefacts["generator"]
    conv, rgb = loaded.style_vector_calculator(tf.constant(DLATENT), training=False)
    styles = [value for value, _ in values(artefact, "style_vector_calculator", DLATENT)]
    for found, expected in zip(styles, [*conv, *rgb], strict=True):
        np.testing.assert_array_equal(found, expected.numpy())
    ((image, _),) = values(artefact, "g_synthesis", *styles)
    np.testing.assert_array_equal(image, loaded.g_synthesis((conv, rgb), training=False).numpy())
    ((w, _),) = values(artefact, "g_mapping", Z)
    np.testing.assert_array_equal(w, loaded.g_mapping(tf.constant(Z), training=False).numpy())


@pytest.mark.parametrize("network", ALL)
def test_the_replay_is_the_reference_network_in_float64(network: str, artefacts: dict[str, Artefact]) -> None:
    variables = {v.name: artefacts[network].read(v) for v in artefacts[network].variables if v.slot is None}
    inputs = {"z": Z, "probabilities": PROBABILITIES, "image": IMAGES}
    expected = forward.outputs(ALL[network], variables, inputs, "float64")[OUTPUT[network]]
    ((found, exact),) = values(artefacts[network], "", *GIVEN[network])
    assert exact.dtype == np.float64
    assert distance(exact, expected) < SMALLEST
    assert distance(exact, expected) < distance(found, exact)


@pytest.mark.parametrize("network", ALL)
def test_channels_first_gives_what_channels_last_gives(network: str, artefacts: dict[str, Artefact], tmp_path: Path) -> None:
    variables = {v.name: artefacts[network].read(v) for v in artefacts[network].variables if v.slot is None}
    export_network(network, ALL[network], variables, tmp_path / "nchw", data_format="NCHW")
    ((_, found),) = values(open_artefact(tmp_path / "nchw"), "", *GIVEN[network])
    ((_, expected),) = values(artefacts[network], "", *GIVEN[network])
    assert distance(found, expected) < 1e-14


def test_a_released_archive_is_walked_as_it_is(demo: Path) -> None:
    artefact = open_artefact(demo / "encoder.savedmodel.zip")
    images = RNG.uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    ((found, exact),) = values(artefact, "", images)
    assert 1e-8 < distance(found, exact) < 1e-5


def test_a_group_of_samples_that_does_not_divide_is_refused_by_the_node_that_refuses(artefacts: dict[str, Artefact]) -> None:
    """The minibatch standard deviation takes groups of four."""
    assert DISCRIMINATOR.mbstd_group == 4
    images, probabilities = np.concatenate([IMAGES, IMAGES[:2]]), np.concatenate([PROBABILITIES, PROBABILITIES[:2]])
    with pytest.raises(BadInput, match=r"\(Reshape\) cannot be replayed: "):
        values(artefacts["discriminator"], "", images, probabilities)


def test_the_same_input_gives_the_same_bytes(artefacts: dict[str, Artefact]) -> None:
    once, again = (values(artefacts["discriminator"], "", *GIVEN["discriminator"])[0] for _ in range(2))
    assert [value.tobytes() for value in once] == [value.tobytes() for value in again]
