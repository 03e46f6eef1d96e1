"""Calibration of predictions with labels drawn from known probabilities."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from seenet.evaluation.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)

CLIPS, CLASSES = 20000, 4


@pytest.fixture(scope="module")
def calibrated() -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities, and labels from them."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(CLASSES), CLIPS)
    labels = (rng.random((CLIPS, 1)) > probabilities.cumsum(1)).sum(1).clip(max=CLASSES - 1)
    return probabilities, labels


def nll_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def test_calibrated_predictions_have_no_calibration_error(calibrated):
    assert expected_calibration_error(*calibrated) < 0.015
    assert fit_temperature(*calibrated) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("sharpened", [0.25, 0.5, 2.0])
def test_fit_temperature_recovers_a_known_temperature(calibrated, sharpened: float):
    probabilities, labels = calibrated
    distorted = apply_temperature(probabilities, sharpened)
    found = fit_temperature(distorted, labels)
    assert found == pytest.approx(1 / sharpened, rel=0.03)
    assert (found > 1) == (sharpened < 1), "overconfident predictions need a temperature above 1"
    assert nll_loss(apply_temperature(distorted, found), labels) < nll_loss(distorted, labels)
    assert (
        expected_calibration_error(apply_temperature(distorted, found), labels)
        < 0.02
        < expected_calibration_error(distorted, labels)
    )


def test_apply_temperature_keeps_the_prediction_and_sums_to_one(calibrated):
    probabilities = calibrated[0]
    np.testing.assert_allclose(apply_temperature(probabilities, 1.0), probabilities, atol=1e-8)
    tempered = apply_temperature(probabilities, 3.0)
    assert (tempered.argmax(1) == probabilities.argmax(1)).all()
    np.testing.assert_allclose(tempered.sum(1), 1)


def test_temperature_is_finite_when_probabilities_are_zero():
    certain = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert np.isfinite(apply_temperature(certain, 2.0)).all()
    assert fit_temperature(certain, np.array([0, 1, 1])) > 1


def test_reliability_curve_agrees_with_the_calibration_error(calibrated):
    probabilities, labels = calibrated
    distorted = apply_temperature(probabilities, 0.4)
    confidence, accuracy, count = reliability_curve(distorted, labels, bins=10)
    assert count.sum() == CLIPS
    assert (np.diff(confidence) > 0).all()
    assert (accuracy * count).sum() == pytest.approx((distorted.argmax(1) == labels).sum())
    predictions, truth = torch.from_numpy(distorted), torch.from_numpy(labels)
    theirs = multiclass_calibration_error(predictions, truth, CLASSES, n_bins=10, norm="l1").item()
    assert expected_calibration_error(distorted, labels, bins=10) == pytest.approx(theirs, abs=1e-5), (
        "no probability is 1"
    )


def test_expected_calibration_error_counts_certainty_in_the_last_bin():
    """The last of 15 bins is [14/15, 1]; it contains clips at 1.0 and at 0.95."""
    probabilities, labels = np.array([[1.0, 0.0], [0.95, 0.05], [0.5, 0.5]]), np.array([1, 0, 0])
    confidence, accuracy, count = reliability_curve(probabilities, labels, 15)
    assert confidence.tolist() == pytest.approx([0.5, 0.975])
    assert (accuracy.tolist(), count.tolist()) == ([1, 0.5], [1, 2])
    expected = (1 * abs(0.5 - 1) + 2 * abs(0.975 - 0.5)) / 3
    with_extra_bin = (abs(0.5 - 1) + abs(1.0 - 0) + abs(0.95 - 1)) / 3
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    assert with_extra_bin - expected > 0.03, "a sixteenth bin for 1.0 gives another error"


def test_reliability_curve_omits_bins_without_clips():
    confidence, accuracy, count = reliability_curve(
        np.array([[1.0, 0.0], [0.45, 0.55], [0.4, 0.6]]), np.array([0, 0, 1]), 5
    )
    assert confidence.tolist() == pytest.approx([0.55, 0.6, 1.0])
    assert accuracy.tolist() == [0, 1, 1]
    assert count.tolist() == [1, 1, 1]
