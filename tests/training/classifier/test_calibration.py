"""Each measure of calibration against what a hand computes."""

from __future__ import annotations

import numpy as np
import pytest

from stylexport.training.classifier.calibration import (
    brier,
    calibration_error,
    calibration_metrics,
    log_loss,
    reliability,
    softmax,
    temperature,
)

# Confidences 0.9, 0.8, 0.6, 0.55; the third is wrong.
P = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])
TARGETS = np.array([0, 1, 1, 1])


def test_the_brier_score_is_the_sum_of_squares_over_labels() -> None:
    assert brier(P, TARGETS) == pytest.approx((2 * 0.1**2 + 2 * 0.2**2 + 2 * 0.6**2 + 2 * 0.45**2) / 4)


def test_the_log_loss_is_that_of_the_softmax() -> None:
    assert log_loss(np.log(P) + 3, TARGETS) == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.55]).mean())


def test_the_calibration_error_weighs_each_bins_gap_by_its_images() -> None:
    # Of 5 bins (0.4, 0.6] holds 0.6 (wrong) and 0.55 (right); (0.6, 0.8] holds 0.8; (0.8, 1] holds 0.9.
    assert calibration_error(P, TARGETS, 5) == pytest.approx((2 * abs(0.5 - 0.575) + 0.2 + 0.1) / 4)


def test_reliability_has_a_row_for_each_bin_with_images() -> None:
    rows = reliability(P, TARGETS, 5)
    assert [(row["images"], row["accuracy"]) for row in rows] == [(2, 0.5), (1, 1.0), (1, 1.0)]
    assert [row["confidence"] for row in rows] == pytest.approx([0.575, 0.8, 0.9])


def test_a_confidence_of_one_is_in_the_last_bin() -> None:
    assert reliability(np.array([[0.0, 1.0]]), np.array([1]))[0]["high"] == 1.0


def test_the_temperature_undoes_a_sharpening() -> None:
    rng = np.random.default_rng(5)
    logits = 2 * rng.standard_normal((20_000, 3))
    targets = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    assert temperature(3 * logits, targets) == pytest.approx(3, rel=0.05)
    assert temperature(logits / 2, targets) == pytest.approx(0.5, rel=0.05)


def test_a_temperature_is_measured_on_images_that_it_was_not_fitted_to() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0]] * 50)
    targets = np.array([0, 0] * 50)  # every image of the first half is right, every one of the second wrong
    found = calibration_metrics(logits, targets, ("a", "b"))
    sure = 1 / (1 + np.exp(-4))
    assert found["temperature"] == pytest.approx(0.05, rel=1e-6)
    assert found["second_half"] == pytest.approx({"ece": sure, "ece_at_temperature": 1.0})


def test_the_confusion_counts_answers_by_label() -> None:
    found = calibration_metrics(np.log(P), TARGETS, ("eight", "nine"))
    assert found["confusion"] == [[1, 0], [1, 2]]
    assert found["by_label"] == pytest.approx({"eight": 1.0, "nine": 2 / 3})
    assert found["accuracy"] == 0.75
