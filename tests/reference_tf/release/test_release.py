"""A written release looks like the bucket."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylexport.reference_tf.release import random_release
from stylexport.reference_tf.release.random_release import main, pickle_dlatents
from stylexport.torch_models.config import GeneratorConfig

pytestmark = pytest.mark.tensorflow


def test_the_command_writes_four_zips_of_one_folder_each_and_the_latents(tmp_path: Path) -> None:
    sizes = ["--resolution", "8", "--base", "40", "--most", "6", "--latent", "5", "--width", "0.05"]
    assert main([str(tmp_path), *sizes, "--seed", "3"]) == 0
    networks = ("discriminator", "encoder", "generator", "mobilenet")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["dlatents.pkl", *(f"{n}.savedmodel.zip" for n in networks)])
    for network in networks:
        with zipfile.ZipFile(tmp_path / f"{network}.savedmodel.zip") as archive:
            names = archive.namelist()
            assert {name.split("/")[0] for name in names} == {f"{network}.savedmodel"}
            assert f"{network}.savedmodel/variables/variables.index" in names
            assert archive.getinfo(f"{network}.savedmodel/saved_model.pb").compress_type == zipfile.ZIP_DEFLATED
    rows = pickle.loads((tmp_path / "dlatents.pkl").read_bytes())
    assert len(rows) == 250
    assert [row[0] for row in rows[:3]] == ["0", "1", "2"]
    assert {(row[1].shape, row[1].dtype) for row in rows} == {((1, 7), np.dtype("float32"))}
    probabilities = np.concatenate([row[1][:, 5:] for row in rows])
    assert np.all(probabilities > 0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=2e-7)


def test_latents_are_pickled_as_every_numpy_reads_them() -> None:
    latents = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    written = pickle_dlatents(latents)
    assert written[:2] == b"\x80\x03"
    assert b"numpy.core.multiarray" in written
    assert b"numpy._core" not in written
    np.testing.assert_array_equal(np.concatenate([row for _, row in pickle.loads(written)]), latents)


def test_the_default_release_has_the_published_sizes() -> None:
    generator = random_release.configs()["generator"]
    assert isinstance(generator, GeneratorConfig)
    assert generator.channels == (512, 512, 512, 512, 512, 256, 128)
    assert generator.dlatent == 514


def test_a_resolution_that_is_no_power_of_two_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--resolution", "48"]) == 2
    assert "a resolution is a power of two from 4, not 48" in capsys.readouterr().err
