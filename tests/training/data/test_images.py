"""Items are float images in [-1, 1] made of eight bits, mirrored where the key says so."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from stylexport.checkpoints.mnist import Digits
from stylexport.training.data.images import Images
from stylexport.training.data.mnist import prepare_digits

STORE = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


def test_a_pixel_becomes_what_the_release_makes_of_it() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    image, _ = Images(values, np.array([0]), ["one"], flippable=True)[0]
    expected = torch.from_numpy(values[0].astype(np.float32) / np.float32(127.5) - np.float32(1))
    assert image.dtype == torch.float32
    assert torch.equal(image, expected.expand(3, -1, -1))
    assert [float(image.min()), float(image.max())] == [-1, 1]


def test_a_mirrored_image_has_left_and_right_exchanged() -> None:
    data = Images(STORE, np.array([1, 0]), ["a", "b"], flippable=True)
    plain, mirrored = data[(1, False)], data[(1, True)]
    assert torch.equal(mirrored[0], plain[0].flip(2))
    assert plain[1] == mirrored[1] == 0


def test_a_part_has_its_own_rows_in_their_order() -> None:
    data = Images(STORE, np.array([1, 0]), ["a", "b"], flippable=True, rows=np.array([1, 0]))
    assert torch.equal(data[0][0], Images(STORE, np.array([1, 0]), ["a", "b"], flippable=True)[1][0])
    assert [data[0][1], data[1][1], len(data.first(1))] == [0, 1, 1]


def test_a_memory_map_travels_as_a_name(tmp_path: Path) -> None:
    np.save(tmp_path / "store.npy", np.tile(STORE, (100, 1, 1, 1)))
    data = Images(np.load(tmp_path / "store.npy", mmap_mode="r"), np.arange(200) % 2, ["a", "b"], flippable=True, rows=np.array([1]))
    sent = pickle.dumps(data)
    assert len(sent) < 3000
    assert torch.equal(pickle.loads(sent)[0][0], data[0][0])


@pytest.mark.parametrize(("resolution", "row"), [(32, [0] * 30), (16, [0] * 15)])
def test_a_digit_has_a_black_border(resolution: int, row: list[int]) -> None:
    digits = Digits(np.full((1, 28, 28), 255, np.uint8), np.array([0]), np.array([0]))
    store = prepare_digits(digits, resolution)
    assert store.shape == (1, 1, resolution, resolution)
    assert int(store[0, 0, resolution // 2, resolution // 2]) == 255
    assert int(store[0, 0, 0, 0]) < 20
