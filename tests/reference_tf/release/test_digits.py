"""Digits as the embedded release's classifier takes them."""

import numpy as np
import pytest

from stylexport.reference_tf.release import digits

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
