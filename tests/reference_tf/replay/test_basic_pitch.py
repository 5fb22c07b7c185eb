"""A graph that nobody here wrote is walked from end to end: basic-pitch 0.4.0, saved by TensorFlow 2.4.

Its ONNX file, made from the same weights by another program, is run by ONNX's own reference evaluator.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx.reference import ReferenceEvaluator

from stylexport.common.types import Array
from stylexport.converter.formats.base import Artefact
from stylexport.converter.formats.registry import open_artefact
from stylexport.converter.graph.schedule import schedule
from stylexport.reference_tf.replay.walk import walk
from tests.reference_tf.replay.saving import callable_at, distance, values

pytestmark = pytest.mark.tensorflow

NAMES = ["contour", "note", "onset"]
# Two seconds of noise that swells and fades: no band is silent, where the logarithm would make much of the last digit.
SECONDS = np.arange(43844) / 22050
SOUND = (np.random.default_rng(1).standard_normal(43844) * (0.3 + 0.2 * np.sin(9 * SECONDS)))[None, :, None].astype(np.float32)


@pytest.fixture(scope="module")
def artefact(basic_pitch: Path) -> Artefact:
    return open_artefact(basic_pitch / "nmp")


@pytest.fixture(scope="module")
def walked(artefact: Artefact) -> dict[str, tuple[Array, Array]]:
    """Each output by its name, in both precisions."""
    places = callable_at(artefact, "").places
    assert places == tuple((name,) for name in NAMES)
    return dict(zip(NAMES, values(artefact, "", SOUND), strict=True))


@pytest.fixture(scope="module")
def by_onnx(basic_pitch: Path) -> dict[str, Array]:
    """What the ONNX file gives; its outputs bear numbers, in the order of the SavedModel's names."""
    model = onnx.load(basic_pitch / "nmp.onnx")
    outputs = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: SOUND})
    by_number = {output.name: value for output, value in zip(model.graph.output, outputs, strict=True)}
    return {name: by_number[f"StatefulPartitionedCall:{number}"] for number, name in enumerate(NAMES)}


def test_every_node_is_replayed_in_float64(artefact: Artefact) -> None:
    function = callable_at(artefact, "")
    needed = [node.name for node in schedule(function.graph, function.outputs).nodes]
    seen: dict[str, str] = {}
    values(artefact, "", SOUND, wanted=needed, seen=lambda ref, value, exact: seen.update({ref: f"{value.dtype} {exact.dtype}"}))
    assert list(seen) == needed
    assert len(needed) > 600
    assert "float32 float32" not in seen.values()


@pytest.fixture(scope="module")
def rounding(artefact: Artefact, walked: dict[str, tuple[Array, Array]]) -> dict[str, float]:
    """How far rounding to float32 may carry each output from float64.

    What one unit of rounding does is measured, on the input, where the graph's logarithm makes the most of it: 3e-7 to 8e-7 of an output
    instead of 6e-8. Every node of the graph rounds once, and the errors of all of them add up at most.
    """
    function, signs = callable_at(artefact, ""), np.random.default_rng(0)
    changed = SOUND * (1 + 2.0**-24 * signs.choice((-1, 1), SOUND.shape))
    by_key = {variable.key: variable for variable in artefact.variables}
    results = walk(function, [(SOUND, changed)], lambda key: artefact.read(by_key[key]))
    nodes = len(schedule(function.graph, function.outputs).nodes)
    return {name: nodes * distance(exact, walked[name][1]) for name, (_, exact) in zip(NAMES, results, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_the_onnx_files_to_rounding(
    name: str, walked: dict[str, tuple[Array, Array]], by_onnx: dict[str, Array], rounding: dict[str, float]
) -> None:
    found, exact = walked[name]
    assert rounding[name] < 1e-3  # another function would be further away
    assert distance(found, exact) < rounding[name]
    assert distance(by_onnx[name], exact) < rounding[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_gives_the_same_as_the_models_call(name: str, artefact: Artefact, walked: dict[str, tuple[Array, Array]]) -> None:
    places = [place[0] for place in callable_at(artefact, "signature:serving_default").places]
    found, exact = values(artefact, "signature:serving_default", SOUND)[places.index(name)]
    np.testing.assert_array_equal(found, walked[name][0])
    np.testing.assert_array_equal(exact, walked[name][1])


def test_tensorflow_1s_loader_gives_the_same_to_rounding(
    basic_pitch: Path, walked: dict[str, tuple[Array, Array]], rounding: dict[str, float]
) -> None:
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        signature = v1.saved_model.loader.load(session, ["serve"], str(basic_pitch / "nmp")).signature_def["serving_default"]
        (given,) = signature.inputs.values()
        expected = session.run({name: signature.outputs[name].name for name in NAMES}, {given.name: SOUND})
    for name in NAMES:
        assert distance(walked[name][0], expected[name]) < 2 * rounding[name]
