"""Whether probabilities mean what they say: expected calibration error, reliability and temperature.

Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017. Throughout, `probabilities` are float, shape
(clips, classes), and `labels` are class numbers, shape (clips,).
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

MIN_PROBABILITY = 1e-9
"""Probabilities are raised to this before their logarithm, as in the loss on the dev part."""

TEMPERATURE_BOUNDS = (0.01, 100.0)
"""Where the temperature is looked for."""


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Compute the mean distance between confidence and accuracy, in [0, 1].

    The mean is over the bins of `reliability_curve`, weighted by clips.
    """
    confidence, accuracy, count = reliability_curve(probabilities, labels, bins)
    return float(np.average(np.abs(confidence - accuracy), weights=count))


def reliability_curve(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of a reliability diagram.

    Args:
        probabilities: see above.
        labels: see above.
        bins: equally wide bins of the highest probability; each holds its lower edge, the last one 1.0 too.

    Returns:
        Mean confidence, accuracy and number of clips of every bin that has clips, in rising order of confidence.
    """
    probabilities = np.asarray(probabilities)
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(number, minlength=bins)
    filled = count > 0
    means = [np.bincount(number, values, minlength=bins)[filled] / count[filled] for values in (confidence, correct)]
    return means[0], means[1], count[filled]


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities of softmax(log p / temperature): above 1 less confident, below 1 more; the order stays."""
    return softmax(np.log(np.maximum(probabilities, MIN_PROBABILITY)) / temperature, axis=1)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least negative log-likelihood of the labels.

    Fit it on other clips than those it is judged on. Where every prediction is right (or wrong) no temperature is
    best, and an end of `TEMPERATURE_BOUNDS` comes back.
    """
    logits, rows = np.log(np.maximum(probabilities, MIN_PROBABILITY)), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded").x))
