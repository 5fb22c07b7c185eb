"""What PyTorch measures in batches is what TensorFlow gives coordinate by coordinate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stylexport.attfind import Effects, StylExModel
from stylexport.attfind.effects.create_run import create_run
from stylexport.attfind.effects.measure import measure
from stylexport.common.json_files import read_json
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from stylexport.reference_tf.networks import forward as run
from stylexport.reference_tf.release.build_demo import released
from stylexport.reference_tf.release.digit_classifier import CLASSIFIER
from stylexport.torch_models import StylEx
from stylexport.torch_models.kinds import config_from_json
from tests.reference_tf.authors_loop import LoopEffects, effects_loop

pytestmark = pytest.mark.tensorflow

IMAGES = (3, 17)
# The first and the last coordinate of every layer of the embedded release, and one between.
ENDS = [(0, 15), (16, 31), (32, 47), (48, 63), (64, 79), (80, 95), (96, 107)]
COORDINATES = sorted({c for first, last in ENDS for c in (first, (first + last) // 2, last)})


@dataclass(frozen=True)
class Both:
    loop: LoopEffects
    run: Effects


@pytest.fixture(scope="module")
def both(demo: Path, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    dlatents = read_dlatents(demo / "dlatents.pkl").values
    variables = released(demo)
    generator = run.load(config_from_json(read_json(converted / "generator" / "config.json")), variables["generator"])
    classifier = run.load(CLASSIFIER, variables["classifier"])
    stylex = StylEx.from_pretrained(converted)
    assert stylex.classifier is not None
    folder = tmp_path_factory.mktemp("effects") / "run"
    model = StylExModel(stylex)
    begun = create_run(folder, model, stylex.classifier, dlatents, chosen=IMAGES)
    measure(begun, model, stylex.classifier, batch=48)
    begun.finish()
    return Both(effects_loop(generator, classifier, dlatents, IMAGES, COORDINATES), Effects.load(folder))


def test_effects_are_tensorflows_to_a_ten_thousandth_of_the_logits_range(both: Both) -> None:
    found, expected = both.run.effects[:, :, COORDINATES], both.loop.effects
    span = float(np.ptp(both.loop.base_logits))
    assert span > 5
    assert np.abs(expected).max() > 0.2  # these coordinates do something
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * span)


def test_the_reconstructions_logits_are_tensorflows(both: Both) -> None:
    np.testing.assert_allclose(both.run.base_logits, both.loop.base_logits, rtol=0, atol=1e-4)


def test_minimum_and_maximum_are_over_all_latents_and_not_the_measured_ones(both: Both) -> None:
    np.testing.assert_allclose(both.run.style_min, both.loop.style_min, rtol=0, atol=1e-5)
    np.testing.assert_allclose(both.run.style_max, both.loop.style_max, rtol=0, atol=1e-5)
    assert (both.run.styles.max(0) < both.run.style_max).any()
