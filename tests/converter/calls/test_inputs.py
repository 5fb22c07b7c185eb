"""What goes into a recording is what the user gave, else what a seed says; all of it fits the network or is refused by name."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylexport.common.errors import BadInput
from stylexport.converter.calls.draws import smooth_images
from stylexport.converter.calls.inputs import Inputs
from stylexport.converter.calls.user_inputs import UserInputs, read_user_inputs


def given_file(folder: Path, **tensors: object) -> Path:
    path = folder / "given.npz"
    np.savez(path, **{name: np.asarray(value) for name, value in tensors.items()})  # type: ignore[arg-type]
    return path


def test_a_seed_gives_each_input_its_own_numbers_whatever_else_is_asked_for() -> None:
    first, second = Inputs(UserInputs(seed=7)), Inputs(UserInputs(seed=7))
    second.tensor("probabilities", (2,), 3)
    z = first.tensor("z", (5,), 3)
    np.testing.assert_array_equal(z, second.tensor("z", (5,), 3))
    assert z.dtype == np.float32
    assert not np.array_equal(z, Inputs(UserInputs(seed=8)).tensor("z", (5,), 3))
    assert not np.array_equal(z, first.tensor("noise", (5,), 3))


def test_more_samples_begin_with_the_same_ones() -> None:
    few, many = (Inputs(UserInputs(seed=1)).tensor("z", (4,), samples) for samples in (2, 6))
    np.testing.assert_array_equal(few, many[:2])


def test_a_dlatent_is_the_mappings_w_with_probabilities_that_sum_to_one() -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    inputs = Inputs(UserInputs())
    inputs.made["w"] = w
    dlatent = inputs.dlatent(3, 4, 2)
    np.testing.assert_array_equal(dlatent[:, :3], w)
    np.testing.assert_array_equal(dlatent[:, 3:], inputs.tensor("probabilities", (4,), 2))
    np.testing.assert_allclose(dlatent[:, 3:].sum(axis=1), 1, atol=2e-7)
    assert dlatent[:, 3:].std() > 0.05


def test_half_of_the_images_are_the_generators_clipped() -> None:
    made = np.linspace(-3, 3, 4 * 3 * 8 * 8, dtype=np.float32).reshape(4, 3, 8, 8)
    inputs = Inputs(UserInputs())
    inputs.made["image"] = made
    images = inputs.tensor("image", (3, 8, 8), 4)
    np.testing.assert_array_equal(images[:2], made[:2].clip(-1, 1))
    assert not np.array_equal(images[2:], made[2:].clip(-1, 1))
    assert np.abs(images).max() <= 1


def test_images_of_another_size_than_the_generators_are_noise() -> None:
    inputs = Inputs(UserInputs())
    inputs.made["image"] = np.zeros((2, 3, 8, 8), np.float32)
    images = inputs.tensor("image", (3, 16, 16), 2)
    assert images.shape == (2, 3, 16, 16)
    assert images[0].std() > 0.3


def test_random_images_are_smooth_and_use_the_range() -> None:
    images = smooth_images(np.random.default_rng(3), 4, (3, 32, 48))
    assert images.shape == (4, 3, 32, 48)
    assert np.abs(np.diff(images, axis=3)).mean() < 0.5 * images.std()
    assert images.std() > 0.3


def test_tensors_of_a_file_are_taken_by_name_and_the_rest_is_drawn(tmp_path: Path) -> None:
    z = np.arange(15.0).reshape(3, 5)
    inputs = Inputs(read_user_inputs(given_file(tmp_path, z=z), None, None, 0))
    np.testing.assert_array_equal(inputs.tensor("z", (5,), 2), z[:2].astype(np.float32))
    assert inputs.tensor("image", (3, 8, 8), 2).shape == (2, 3, 8, 8)


def test_probabilities_are_those_of_the_given_dlatents(tmp_path: Path) -> None:
    latents = np.random.default_rng(2).random((3, 7)).astype(np.float32)
    rows = [(str(i), row[None]) for i, row in enumerate(latents)]
    (tmp_path / "dlatents.pkl").write_bytes(pickle.dumps(rows, protocol=3))
    for given in (
        read_user_inputs(None, None, tmp_path / "dlatents.pkl", 0),
        read_user_inputs(None, None, given_file(tmp_path, dlatent=latents), 0),
        read_user_inputs(given_file(tmp_path, dlatent=latents), None, None, 0),
    ):
        inputs = Inputs(given)
        inputs.made["w"] = np.zeros((3, 5), np.float32)
        np.testing.assert_array_equal(inputs.tensor("probabilities", (2,), 3), latents[:, 5:])
        np.testing.assert_array_equal(inputs.dlatent(5, 2, 3), latents)


def test_pictures_are_read_in_the_order_of_their_names_into_minus_one_to_one(tmp_path: Path) -> None:
    for name, color in (("b.png", (255, 0, 51)), ("a.JPG", (0, 0, 0))):
        Image.new("RGB", (20, 10), color).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    given = read_user_inputs(None, tmp_path, None, 0)
    assert given.rows == 2
    images = Inputs(given).tensor("image", (3, 8, 8), 2)
    np.testing.assert_array_equal(images[0], np.full((3, 8, 8), -1))
    np.testing.assert_allclose(images[1][:, 4, 4], [1, -1, -0.6], atol=1e-6)
    assert sorted(given.digests) == ["a.JPG", "b.png"]


def test_a_gray_network_gets_gray_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 255, 255)).save(tmp_path / "white.png")
    images = Inputs(read_user_inputs(None, tmp_path, None, 0)).tensor("image", (1, 6, 5), 1)
    np.testing.assert_array_equal(images, np.ones((1, 1, 6, 5)))


def test_pictures_are_the_ones_that_attfind_and_the_training_read(tmp_path: Path) -> None:
    """The middle of a wide picture, antialiased, and turned upright as its EXIF says."""
    levels = np.random.default_rng(5).integers(0, 256, (30, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(levels).save(tmp_path / "wide.png", exif=exif)
    found = Inputs(read_user_inputs(None, tmp_path, None, 0)).tensor("image", (3, 10, 10), 1)
    middle = Image.fromarray(np.ascontiguousarray(np.rot90(levels, -1)[10:40]))
    expected = np.asarray(middle.resize((10, 10), Image.Resampling.BILINEAR), np.float32).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_tensors_and_latents_may_be_arrays() -> None:
    z = np.arange(10.0).reshape(2, 5)
    np.testing.assert_array_equal(Inputs(read_user_inputs({"z": z}, None, None, 0)).tensor("z", (5,), 2), z)
    np.testing.assert_array_equal(Inputs(read_user_inputs(None, None, z, 0)).dlatent(3, 2, 2), z)
    with pytest.raises(BadInput, match="inputs: z holds NaN"):
        read_user_inputs({"z": z * np.nan}, None, None, 0)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"z": np.zeros((2, 4))}, "z is [2, 4], the network takes [N, 5]"),
        ({"z": np.zeros((2, 5)), "image": np.zeros((3, 1))}, "differ in their first axis"),
        ({"z": np.full((2, 5), np.nan)}, "z holds NaN"),
        ({"z": np.full((2, 5), 1e39)}, "z holds NaN, infinity, or numbers past float32"),
        ({"z": np.float32(3)}, "its first axis counts the samples"),
        ({"z": np.array(["a", "b"])}, "inputs are numbers"),
        ({}, "holds no tensors"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tensors: dict[str, np.ndarray], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        Inputs(read_user_inputs(given_file(tmp_path, **tensors), None, None, 0)).tensor("z", (5,), 2)


def test_an_image_in_the_graphs_own_layout_is_refused_with_the_layout_to_give(tmp_path: Path) -> None:
    given = read_user_inputs(given_file(tmp_path, image=np.zeros((2, 8, 8, 3))), None, None, 0)
    with pytest.raises(BadInput, match=r"an image is \[N, channels, height, width\]"):
        Inputs(given).tensor("image", (3, 8, 8), 2)


def test_latents_of_another_generator_are_refused(tmp_path: Path) -> None:
    given = read_user_inputs(None, None, given_file(tmp_path, dlatent=np.zeros((2, 9))), 0)
    with pytest.raises(BadInput, match="rows of 9 entries, the generator takes 7"):
        Inputs(given).dlatent(5, 2, 2)


def test_missing_and_broken_files_are_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 nothing more")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"nowhere\.npz: No such file"):
        read_user_inputs(tmp_path / "nowhere.npz", None, None, 0)
    with pytest.raises(BadInput, match=r"broken\.npz: cannot be read as npz"):
        read_user_inputs(tmp_path / "broken.npz", None, None, 0)
    with pytest.raises(BadInput, match=r"broken\.png: is not a picture that can be read"):
        Inputs(read_user_inputs(None, tmp_path, None, 0)).tensor("image", (3, 8, 8), 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="holds no PNG or JPEG file"):
        read_user_inputs(None, tmp_path / "empty", None, 0)


def test_only_one_source_of_inputs_is_taken(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exclude each other"):
        read_user_inputs(tmp_path / "a.npz", tmp_path, None, 0)
