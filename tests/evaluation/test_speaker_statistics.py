"""Scores against scikit-learn; intervals and tests against simulated speakers and sessions whose truth is known."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from seenet.evaluation.scores import classification_scores
from seenet.evaluation.speaker_statistics import adjust_p_values, cluster_interval, compare, min_p_value

EXPERIMENTS, SPEAKERS, CLASSES, CLIPS = 1000, 24, 4, 40
EASE = np.array([0.4, 0.9, 1.4, 2.0])
"""Log odds of recognising each class in a typical speaker."""

BY_SPEAKER, BY_CLASS, BY_SESSION = 0.8, 0.6, 0.8
"""Standard deviations, in log odds: what a speaker adds to all classes and to each one, a session to its speakers."""


def speakers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Log odds of a correct prediction, shape (*shape, classes), for newly drawn speakers."""
    return EASE + BY_SPEAKER * rng.normal(size=(*shape, 1)) + BY_CLASS * rng.normal(size=(*shape, CLASSES))


def heard(rng: np.random.Generator, right: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Counts, shape (..., classes, classes), of clips recognised with the log odds; errors fall on any other class."""
    error = (1 - expit(right))[..., None] / (CLASSES - 1)
    return rng.multinomial(clips, np.where(np.eye(CLASSES, dtype=bool), expit(right)[..., None], error))


def spoken(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.multinomial(CLIPS, np.full(CLASSES, 1 / CLASSES), size=shape)


def true_ua(by_session: float = 0.0) -> float:
    """Mean recall over all speakers, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    chances = expit(EASE[:, None] + np.linalg.norm([BY_SPEAKER, BY_CLASS, by_session]) * nodes)
    return float((chances @ (weights / weights.sum())).mean())


@pytest.mark.parametrize("occurring", [4, 3], ids=["all classes", "one class absent"])
def test_scores_are_those_of_sklearn(occurring: int):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, occurring, (2, 3, 50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = classification_scores(
            [confusion_matrix(*pair, labels=range(4)) for pair in zip(labels, predicted, strict=True)]
        )
    for fold, pair in enumerate(zip(labels, predicted, strict=True)):
        assert values["ua"][fold] == pytest.approx(recall_score(*pair, average="macro"))
        assert values["wa"][fold] == pytest.approx(accuracy_score(*pair))
        assert values["macro_f1"][fold] == pytest.approx(f1_score(*pair, average="macro"))
        assert values["recall"][fold, :occurring] == pytest.approx(recall_score(*pair, average=None))
        assert np.isnan(values["recall"][fold, occurring:]).all()


def test_a_class_that_is_only_predicted_counts_for_f1_alone():
    values = classification_scores([[1, 1], [0, 0]])
    assert (values["ua"], values["wa"]) == (0.5, 0.5)
    assert values["macro_f1"] == pytest.approx(f1_score([0, 0], [0, 1], average="macro"))


def test_the_interval_over_speakers_covers_the_truth_and_one_over_clips_does_not():
    rng = np.random.default_rng(0)
    shape = (EXPERIMENTS, SPEAKERS)
    confusions, truth = heard(rng, speakers(rng, shape), spoken(rng, shape)), true_ua()
    ours = [cluster_interval(counts) for counts in confusions]
    covered = np.mean([interval.low <= truth <= interval.high for interval in ours])
    assert 0.93 <= covered <= 0.97

    naive = []
    for counts in confusions.sum(1):
        drawn = rng.multinomial(counts.sum(), counts.ravel() / counts.sum(), size=999)  # clips with replacement
        low, high = np.quantile(classification_scores(drawn.reshape(-1, CLASSES, CLASSES))["ua"], [0.025, 0.975])
        naive.append(low <= truth <= high)
    assert np.mean(naive) < 0.93


@pytest.mark.parametrize("sessions", [5, 6, 12])
def test_the_interval_over_sessions_covers_the_truth_and_one_over_speakers_does_not(sessions: int):
    """Two speakers a session, as in IEMOCAP (5) and MSP-IMPROV (6), who share what makes their session hard."""
    rng = np.random.default_rng(sessions)
    shape = (4 * EXPERIMENTS, sessions, 2)
    right = speakers(rng, shape) + BY_SESSION * rng.normal(size=(*shape[:2], 1, 1))
    confusions, truth = heard(rng, right, spoken(rng, shape)), true_ua(BY_SESSION)

    def coverage(clusters: np.ndarray) -> float:
        found = [cluster_interval(counts) for counts in clusters]
        return np.mean([interval.low <= truth <= interval.high for interval in found])

    assert 0.92 <= coverage(confusions.sum(2)) <= 0.97
    assert coverage(confusions.reshape(len(confusions), -1, CLASSES, CLASSES)) < 0.90


@pytest.mark.parametrize("sessions", [6, 12])
def test_arms_that_are_the_same_are_seldom_called_different_over_sessions(sessions: int):
    """Where one arm suits a session by chance, its speakers agree: swapped one by one they seem to prove something."""
    rng = np.random.default_rng(sessions)
    shape = (EXPERIMENTS, sessions, 2)
    easy, clips = speakers(rng, shape), spoken(rng, shape)
    a, b = (heard(rng, easy + 0.7 * rng.normal(size=(*shape[:2], 1, 1)), clips) for _ in range(2))

    def errors(a: np.ndarray, b: np.ndarray) -> float:
        found = [compare(*arms, resamples=499, seed=seed) for seed, arms in enumerate(zip(a, b, strict=True))]
        return np.mean([result.p <= 0.05 for result in found])

    flat = (EXPERIMENTS, 2 * sessions, CLASSES, CLASSES)
    assert errors(a.sum(2), b.sum(2)) <= 0.07
    assert errors(a.reshape(flat), b.reshape(flat)) > 0.09


def test_arms_that_are_the_same_are_seldom_called_different():
    rng = np.random.default_rng(1)
    shape = (EXPERIMENTS, SPEAKERS)
    easy, clips = speakers(rng, shape), spoken(rng, shape)
    a, b = (heard(rng, easy + 0.5 * rng.normal(size=easy.shape), clips) for _ in range(2))
    found = [compare(*arms, resamples=499, seed=seed) for seed, arms in enumerate(zip(a, b, strict=True))]
    assert 0.03 <= np.mean([result.p <= 0.05 for result in found]) <= 0.07
    assert 0.93 <= np.mean([result.low <= 0 <= result.high for result in found]) <= 0.97


def test_a_real_difference_is_found():
    rng = np.random.default_rng(2)
    shape = (100, SPEAKERS)
    easy, clips = speakers(rng, shape), spoken(rng, shape)
    a, b = heard(rng, easy + 0.5, clips), heard(rng, easy, clips)
    found = [compare(*arms, resamples=999) for arms in zip(a, b, strict=True)]
    assert np.mean([result.p < 0.05 and result.low > 0 for result in found]) > 0.9
    assert all(result.effect > 0 for result in found)


def test_the_permutation_test_is_exact_for_few_speakers():
    a = np.array([[[hits, 10 - hits], [0, 10]] for hits in (7, 8, 9, 10, 9)])
    b = np.array([[[hits, 10 - hits], [0, 10]] for hits in (5, 5, 5, 5, 5)])
    result = compare(a, b)
    assert result.p == pytest.approx(2 / 2**5), "of all swaps, only none and all are as extreme"
    assert result.p == min_p_value(5)
    gains = np.array([2, 3, 4, 5, 4]) / 20
    assert result.difference == pytest.approx(gains.mean())
    assert result.effect == pytest.approx(gains.mean() / gains.std(ddof=1))
    mirrored = compare(b, a)
    assert (mirrored.difference, mirrored.effect) == pytest.approx((-result.difference, -result.effect))


def test_what_cannot_be_said_is_none():
    one = np.array([[[3, 1], [2, 4]]])
    assert cluster_interval(one) is None
    assert compare(one, one) is None
    same = compare(np.repeat(one, 3, 0), np.repeat(one, 3, 0))
    assert (same.difference, same.low, same.high, same.p, same.effect) == (0, 0, 0, 1, None)
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(np.repeat(one, 2, 0), np.repeat(one.transpose(0, 2, 1), 2, 0))


def test_batches_of_resamples_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    easy, clips = speakers(rng, (16,)), spoken(rng, (16,))
    a, b = heard(rng, easy, clips), heard(rng, easy, clips)
    whole = compare(a, b, resamples=500)
    monkeypatch.setattr("seenet.evaluation.speaker_statistics.MAX_BATCH_COUNTS", 2000)
    assert compare(a, b, resamples=500) == whole


def test_interval_by_hand():
    """Recalls of 3 clusters, one class: the jackknife of a mean is the interval of Student's t."""
    hits = np.array([5, 8, 9])
    counts = np.array([[[h, 10 - h], [0, 0]] for h in hits])
    mean, error = hits.mean() / 10, hits.std(ddof=1) / 10 / math.sqrt(3)
    found = cluster_interval(counts, level=0.5)
    reach = stats.t.ppf(0.75, 2) * error
    assert (found.low, found.high) == pytest.approx((mean - reach, mean + reach))
    certain = cluster_interval(counts)
    assert certain.low >= 0 and certain.high == 1, "no UA lies outside 0 to 1"
    better = compare(counts, np.array([[[5, 5], [0, 0]]] * 3), level=0.5)
    assert (better.low, better.high) == pytest.approx((found.low - 0.5, found.high - 0.5))


def test_holm_by_hand():
    assert adjust_p_values([0.01, 0.04, 0.03]) == pytest.approx(
        [0.03, 0.06, 0.06]
    )  # 3 * 0.01, then 2 * 0.03, then never less
    assert adjust_p_values([0.6, 0.7]) == [1, 1]
    assert adjust_p_values([]) == []
