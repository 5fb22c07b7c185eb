"""An exported network opens in TensorFlow and Keras, and the authors' notebook calls work on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf import saved_model_pb2

from stylexport.common.errors import BadInput
from stylexport.reference_tf.networks import build, forward
from stylexport.reference_tf.networks.saved_model import export_network
from stylexport.reference_tf.networks.variables import assign, load_variables
from tests.reference_tf.sizes import ALL, CLASSIFIER, DISCRIMINATOR, ENCODER, GENERATOR

pytestmark = pytest.mark.tensorflow

Exported = dict[str, tuple[Path, dict[str, Any]]]
RNG = np.random.default_rng(21)
IMAGES = RNG.uniform(-1, 1, (4, 3, 16, 16)).astype(np.float32)
PROBABILITIES = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Every network's folder, with a graph that runs on a CPU, and the variables that were exported."""
    folder = tmp_path_factory.mktemp("exported")
    return {
        name: (folder / name, export_network(name, config, None, folder / name, data_format="NHWC", seed=31))
        for name, config in ALL.items()
    }


@pytest.mark.parametrize("network", ALL)
def test_the_object_graph_holds_every_variable_under_its_released_name(exported: Exported, network: str) -> None:
    folder, variables = exported[network]
    loaded = load_variables(folder)
    assert loaded.keys() == variables.keys()
    assert all(np.array_equal(loaded[name], variables[name]) for name in variables)


def test_the_notebooks_generator_calls_give_what_the_reference_gives(exported: Exported) -> None:
    folder, variables = exported["generator"]
    generator = tf_keras.models.load_model(folder)
    dlatent = RNG.standard_normal((3, 6)).astype(np.float32)
    conv, rgb = generator.style_vector_calculator(dlatent, training=False)
    images = generator.g_synthesis((conv, rgb), training=False)
    reference = forward.load(GENERATOR, variables)
    expected = forward.styles(reference, dlatent)
    assert [s.shape[1] for s in conv] == [7, 7, 5, 5, 3]
    assert [s.shape[1] for s in rgb] == [7, 5, 3]
    for found, wanted in zip([*conv, *rgb], [*expected[0], *expected[1]], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(images, forward.image(reference, *expected), rtol=1e-5, atol=1e-5)
    bias = generator.style_vector_calculator.style_dense_blocks[2].dense_bias.weights[0]
    np.testing.assert_array_equal(bias, variables["generator_style_calculator/StyleVector0_1/FusedBiasActivation/bias"])


def test_the_notebooks_other_calls_give_what_the_reference_gives(exported: Exported) -> None:
    encoder, discriminator, classifier = (
        tf_keras.models.load_model(exported[name][0]) for name in ("encoder", "discriminator", "classifier")
    )
    found = {
        "encoder": encoder(IMAGES),
        "discriminator": discriminator([IMAGES, PROBABILITIES], training=False),
        "classifier": classifier(IMAGES.transpose(0, 2, 3, 1), training=False),
    }
    given = {"image": IMAGES, "probabilities": PROBABILITIES}
    for config in (ENCODER, DISCRIMINATOR, CLASSIFIER):
        (expected,) = forward.outputs(config, exported[config.network][1], given).values()
        np.testing.assert_allclose(found[config.network], expected, rtol=1e-5, atol=1e-5)


def test_an_original_graph_holds_nchw_convolutions_and_the_same_variables(exported: Exported, tmp_path: Path) -> None:
    variables = exported["generator"][1]
    export_network("generator", GENERATOR, variables, tmp_path)
    model = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    nodes = [n for f in model.meta_graphs[0].graph_def.library.function for n in f.node_def]
    kinds = {n.op: n.attr["data_format"].s for n in nodes if n.op.startswith("Conv2D")}
    assert kinds == {"Conv2D": b"NCHW", "Conv2DBackpropInput": b"NCHW"}
    loaded = tf.saved_model.load(str(tmp_path))
    conv, _ = loaded.style_vector_calculator(tf.constant(RNG.standard_normal((2, 6)), tf.float32), training=False)
    assert conv[1].shape == (2, 7)
    revived = tf_keras.models.load_model(tmp_path)
    assign(revived, variables)  # raises unless the names are the released ones


def test_the_same_weights_give_the_same_bytes_but_for_function_numbers(exported: Exported, tmp_path: Path) -> None:
    folder, variables = exported["encoder"]
    export_network("encoder", ENCODER, variables, tmp_path / "again", data_format="NHWC")
    data = "variables/variables.data-00000-of-00001"
    assert (tmp_path / "again" / data).read_bytes() == (folder / data).read_bytes()


def test_a_configuration_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="asked for a generator, but the configuration is of a encoder"):
        export_network("generator", ENCODER, None, tmp_path)


def test_dropout_and_batch_statistics_rest_outside_training() -> None:
    network = build.build(CLASSIFIER)
    x = IMAGES.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(network(x)[:1], network(x[:1]), rtol=1e-5, atol=1e-6)
    assert not np.allclose(network(x, training=True), network(x))
