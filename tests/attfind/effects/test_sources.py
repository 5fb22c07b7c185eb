"""Pictures and latents from files, and the images among them that are worth explaining."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from stylexport.attfind.effects.interesting import interesting, margins
from stylexport.attfind.effects.latents import read_latents
from stylexport.attfind.effects.load_run import open_model
from stylexport.attfind.effects.sources import encode_folder, expected_labels
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.pictures import find_pictures, folder_digest, read_picture
from stylexport.converter.formats.pickled.dlatents import read_dlatents
from tests.digits import digits_folder

BASE = np.array([[3.0, 1.0], [0.4, 0.5], [-2.0, 2.0], [1.0, 0.8]])  # classes 0, 1, 1, 0
PICTURES = np.array([[2.0, 1.0], [1.0, 0.0], [-1.0, 4.0], [0.0, 0.3]])  # classes 0, 0, 1, 1


def test_a_picture_is_the_square_in_its_middle_in_the_models_range(tmp_path: Path) -> None:
    values = np.zeros((4, 8, 3), np.uint8)  # 8 wide: columns 2 to 5 are the square
    values[:, 2:6] = np.array([255, 51, 0])
    Image.fromarray(values).save(tmp_path / "wide.png")
    found = read_picture(tmp_path / "wide.png", 4, 4, (-1.0, 1.0))
    np.testing.assert_allclose(found, np.broadcast_to(np.array([1.0, -0.6, -1.0])[:, None, None], (3, 4, 4)), atol=1e-6)
    np.testing.assert_allclose(read_picture(tmp_path / "wide.png", 2, 2, (0.0, 1.0))[1], 0.2, atol=1e-6)


def test_grey_and_transparent_pictures_become_three_colours(tmp_path: Path) -> None:
    Image.new("L", (3, 3), 102).save(tmp_path / "grey.png")
    Image.new("RGBA", (3, 3), (255, 0, 51, 128)).save(tmp_path / "clear.png")
    np.testing.assert_allclose(read_picture(tmp_path / "grey.png", 3, 3, (0.0, 1.0)), 0.4, atol=1e-6)
    np.testing.assert_allclose(read_picture(tmp_path / "clear.png", 3, 3, (0.0, 1.0))[:, 1, 1], [1, 0, 0.2], atol=1e-6)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(DamagedFile, match=r"a\.png: is not a picture that can be read"):
        read_picture(tmp_path / "a.png", 8, 8, (-1.0, 1.0))


def test_a_folder_without_pictures_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(BadInput, match="holds no PNG or JPEG file"):
        find_pictures(tmp_path)


def test_encoded_pictures_are_the_released_latents_whatever_the_batch(tmp_path: Path, demo: Path, converted: Path) -> None:
    digits_folder(tmp_path, 9)
    model = open_model(converted)
    assert model.stylex.classifier is not None
    found = encode_folder(tmp_path, model, model.stylex.classifier, 32, batch=2)
    assert found.logits is not None
    released = read_dlatents(demo / "dlatents.pkl").values
    places = [int(Path(name).stem) for name in found.names]
    assert sorted(places) == [*range(9)]
    np.testing.assert_allclose(found.latents, released[places], atol=2e-4)
    probabilities = torch.from_numpy(found.logits).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, released[places, -2:], atol=1e-4)
    assert set(found.folders) == {"8", "9"}


def test_a_folders_digest_changes_with_a_name_and_with_a_byte(tmp_path: Path) -> None:
    Image.new("RGB", (3, 3), "red").save(tmp_path / "a.png")
    first = folder_digest(tmp_path)
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    renamed = folder_digest(tmp_path)
    Image.new("RGB", (3, 3), "blue").save(tmp_path / "b.png")
    assert len({first, renamed, folder_digest(tmp_path)}) == 3


@pytest.mark.parametrize("name", ["l.npy", "l.npz", "l.safetensors"])
def test_latents_are_read_from_any_of_the_array_formats(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(1).normal(size=(3, 34)).astype(np.float32)
    if name == "l.npy":
        np.save(tmp_path / name, values)
    elif name == "l.npz":
        np.savez(tmp_path / name, other=np.zeros(2), dlatents=values)
    else:
        save_file({"w": values}, tmp_path / name)
    np.testing.assert_array_equal(read_latents(tmp_path / name, 34).latents, values)


def test_the_authors_latents_keep_their_names(demo: Path) -> None:
    found = read_latents(demo / "dlatents.pkl", 34)
    assert found.names[:2] == ("0", "1")
    assert found.latents.shape == (100, 34)


def test_latents_without_the_label_probabilities_are_refused_with_both_sizes(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.zeros((2, 32), np.float32))
    with pytest.raises(BadInput, match=r"latents of 32 entries; this model's have 34: w, then the label probabilities"):
        read_latents(tmp_path / "w.npy", 34)


def test_a_latent_that_is_not_finite_is_named(tmp_path: Path) -> None:
    values = np.ones((4, 34), np.float32)
    values[2, 5] = np.nan
    np.save(tmp_path / "w.npy", values)
    with pytest.raises(BadInput, match="latent 2 is not finite"):
        read_latents(tmp_path / "w.npy", 34)


def test_a_pickle_in_an_array_file_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedFile, match=r"w\.npy: holds no latents"):
        read_latents(tmp_path / "w.npy", 34)


def test_misclassified_pictures_come_with_the_surest_mistake_first() -> None:
    assert interesting("misclassified", BASE, logits=PICTURES, expected=np.array([1, 1, 1, 1])).tolist() == [0, 1]
    assert interesting("misclassified", BASE, logits=PICTURES, expected=np.array([0, 0, 0, 0])).tolist() == [2, 3]


def test_images_near_the_boundary_come_closest_first() -> None:
    np.testing.assert_allclose(margins(BASE), [2, 0.1, 4, 0.2])
    assert interesting("boundary", BASE, most=3).tolist() == [1, 3, 0]


def test_images_whose_class_changes_on_reconstruction_come_surest_first() -> None:
    assert interesting("flips", BASE, logits=PICTURES).tolist() == [3, 1]
    assert interesting("flips", BASE, logits=PICTURES, most=1).tolist() == [3]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("boundary", r"say how many you want \(--limit N\)"),
        ("flips", r"needs the pictures themselves.*--images DIR"),
        ("odd", "is not a query"),
    ],
)
def test_a_query_that_lacks_something_says_what(query: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        interesting(query, BASE)


def test_a_query_without_an_answer_says_so() -> None:
    with pytest.raises(BadInput, match="none of the 4 images answers misclassified"):
        interesting("misclassified", BASE, logits=PICTURES, expected=PICTURES.argmax(1))


def test_folders_are_labels_by_name() -> None:
    assert expected_labels(["9", "8", "9"], ["8", "9"]).tolist() == [1, 0, 1]
    with pytest.raises(BadInput, match=r"one subfolder a label, 8, 9; found \(none\), seven"):
        expected_labels(["9", "seven", ""], ["8", "9"])
