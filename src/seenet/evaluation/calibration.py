"""Calibration of probabilities: calibration error, reliability diagram and temperature.

Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. In this module, `probabilities` are float, shape
(clips, classes), and `labels` are class numbers, shape (clips,).
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

MIN_PROBABILITY = 1e-9
"""Lower bound of probabilities before the logarithm, as in the loss on the development part."""

TEMPERATURE_BOUNDS = (0.01, 100.0)
"""Search interval of the temperature."""


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Compute the mean distance between confidence and accuracy, in [0, 1].

    The mean is over the bins of `reliability_curve`, weighted by clips.
    """
    confidence, accuracy, count = reliability_curve(probabilities, labels, bins)
    return float(np.average(np.abs(confidence - accuracy), weights=count))


def reliability_curve(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the points of a reliability diagram.

    Args:
        probabilities: class probabilities. Shape (clips, classes).
        labels: class numbers. Shape (clips,).
        bins: number of equal bins of the highest probability; a bin includes its lower edge, the last also 1.0.

    Returns:
        Mean confidence, accuracy and number of clips of every bin with clips, in ascending order of confidence.
    """
    probabilities = np.asarray(probabilities)
    confidence, is_correct = probabilities.max(1), probabilities.argmax(1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(number, minlength=bins)
    has_clips = count > 0
    confidence, accuracy = (
        np.bincount(number, values, minlength=bins)[has_clips] / count[has_clips] for values in (confidence, is_correct)
    )
    return confidence, accuracy, count[has_clips]


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax(log p / temperature), which keeps the order of the classes.

    A temperature above 1 reduces confidence, one below 1 increases it.
    """
    tempered: np.ndarray = softmax(np.log(np.maximum(probabilities, MIN_PROBABILITY)) / temperature, axis=1)
    return tempered


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Fit the temperature that minimises the negative log-likelihood of the labels.

    Fit it on clips other than those used for evaluation. If every prediction is correct or every one is wrong, the
    result is a bound of `TEMPERATURE_BOUNDS`.
    """
    logits, rows = np.log(np.maximum(probabilities, MIN_PROBABILITY)), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded").x))
