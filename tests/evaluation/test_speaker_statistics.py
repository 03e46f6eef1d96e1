"""Scores against scikit-learn; intervals and tests against simulated speakers and sessions."""

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
"""Log odds of a correct prediction of each class for a typical speaker."""

BY_SPEAKER, BY_CLASS, BY_SESSION = 0.8, 0.6, 0.8
"""Standard deviations in log odds: effect of a speaker on all classes, on each class, and of a session."""


def draw_speakers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw log odds of a correct prediction of new speakers. Shape (*shape, classes)."""
    return EASE + BY_SPEAKER * rng.normal(size=(*shape, 1)) + BY_CLASS * rng.normal(size=(*shape, CLASSES))


def draw_confusions(rng: np.random.Generator, right: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Draw confusion counts from log odds; errors are uniform. Shape (..., classes, classes)."""
    error = (1 - expit(right))[..., None] / (CLASSES - 1)
    return rng.multinomial(clips, np.where(np.eye(CLASSES, dtype=bool), expit(right)[..., None], error))


def draw_clip_counts(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.multinomial(CLIPS, np.full(CLASSES, 1 / CLASSES), size=shape)


def true_ua(by_session: float = 0.0) -> float:
    """Compute the mean recall over all speakers by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    chances = expit(EASE[:, None] + np.linalg.norm([BY_SPEAKER, BY_CLASS, by_session]) * nodes)
    return float((chances @ (weights / weights.sum())).mean())


@pytest.mark.parametrize("occurring", [4, 3], ids=["all classes", "one class absent"])
def test_classification_scores_equal_sklearn(occurring: int):
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


def test_class_that_is_only_predicted_counts_for_f1_alone():
    values = classification_scores([[1, 1], [0, 0]])
    assert (values["ua"], values["wa"]) == (0.5, 0.5)
    assert values["macro_f1"] == pytest.approx(f1_score([0, 0], [0, 1], average="macro"))


def test_interval_over_speakers_covers_the_truth_and_one_over_clips_does_not():
    rng = np.random.default_rng(0)
    shape = (EXPERIMENTS, SPEAKERS)
    confusions, truth = draw_confusions(rng, draw_speakers(rng, shape), draw_clip_counts(rng, shape)), true_ua()
    ours = [cluster_interval(counts) for counts in confusions]
    covered = np.mean([interval.low <= truth <= interval.high for interval in ours])
    assert 0.93 <= covered <= 0.97

    naive = []
    for counts in confusions.sum(1):
        drawn = rng.multinomial(counts.sum(), counts.ravel() / counts.sum(), size=999)  # resampled clips
        low, high = np.quantile(classification_scores(drawn.reshape(-1, CLASSES, CLASSES))["ua"], [0.025, 0.975])
        naive.append(low <= truth <= high)
    assert np.mean(naive) < 0.93


@pytest.mark.parametrize("sessions", [5, 6, 12])
def test_interval_over_sessions_covers_the_truth_and_one_over_speakers_does_not(sessions: int):
    """Two speakers share a session and its effect, as in IEMOCAP (5) and MSP-IMPROV (6)."""
    rng = np.random.default_rng(sessions)
    shape = (4 * EXPERIMENTS, sessions, 2)
    right = draw_speakers(rng, shape) + BY_SESSION * rng.normal(size=(*shape[:2], 1, 1))
    confusions, truth = draw_confusions(rng, right, draw_clip_counts(rng, shape)), true_ua(BY_SESSION)

    def coverage(clusters: np.ndarray) -> float:
        found = [cluster_interval(counts) for counts in clusters]
        return np.mean([interval.low <= truth <= interval.high for interval in found])

    assert 0.92 <= coverage(confusions.sum(2)) <= 0.97
    assert coverage(confusions.reshape(len(confusions), -1, CLASSES, CLASSES)) < 0.90


@pytest.mark.parametrize("sessions", [6, pytest.param(12, marks=pytest.mark.slow)])
def test_compare_holds_its_error_rate_over_sessions_but_not_over_speakers(sessions: int):
    """Results of speakers who share a session correlate: swapping them separately gives p-values that are too small."""
    rng = np.random.default_rng(sessions)
    shape = (EXPERIMENTS, sessions, 2)
    easy, clips = draw_speakers(rng, shape), draw_clip_counts(rng, shape)
    a, b = (draw_confusions(rng, easy + 0.7 * rng.normal(size=(*shape[:2], 1, 1)), clips) for _ in range(2))

    def error_rate(a: np.ndarray, b: np.ndarray) -> float:
        found = [compare(*arms, resamples=499, seed=seed) for seed, arms in enumerate(zip(a, b, strict=True))]
        return np.mean([result.p <= 0.05 for result in found])

    flat = (EXPERIMENTS, 2 * sessions, CLASSES, CLASSES)
    assert error_rate(a.sum(2), b.sum(2)) <= 0.07
    assert error_rate(a.reshape(flat), b.reshape(flat)) > 0.09


def test_compare_holds_its_error_rate_over_speakers():
    rng = np.random.default_rng(1)
    shape = (EXPERIMENTS, SPEAKERS)
    easy, clips = draw_speakers(rng, shape), draw_clip_counts(rng, shape)
    a, b = (draw_confusions(rng, easy + 0.5 * rng.normal(size=easy.shape), clips) for _ in range(2))
    found = [compare(*arms, resamples=499, seed=seed) for seed, arms in enumerate(zip(a, b, strict=True))]
    assert 0.03 <= np.mean([result.p <= 0.05 for result in found]) <= 0.07
    assert 0.93 <= np.mean([result.low <= 0 <= result.high for result in found]) <= 0.97


def test_compare_finds_a_real_difference():
    rng = np.random.default_rng(2)
    shape = (100, SPEAKERS)
    easy, clips = draw_speakers(rng, shape), draw_clip_counts(rng, shape)
    a, b = draw_confusions(rng, easy + 0.5, clips), draw_confusions(rng, easy, clips)
    found = [compare(*arms, resamples=999) for arms in zip(a, b, strict=True)]
    assert np.mean([result.p < 0.05 and result.low > 0 for result in found]) > 0.9
    assert all(result.effect > 0 for result in found)


def test_compare_is_exact_for_few_speakers():
    a = np.array([[[hits, 10 - hits], [0, 10]] for hits in (7, 8, 9, 10, 9)])
    b = np.array([[[hits, 10 - hits], [0, 10]] for hits in (5, 5, 5, 5, 5)])
    result = compare(a, b)
    assert result.p == pytest.approx(2 / 2**5), "only the identity and the swap of all are as extreme"
    assert result.p == min_p_value(5)
    gains = np.array([2, 3, 4, 5, 4]) / 20
    assert result.difference == pytest.approx(gains.mean())
    assert result.effect == pytest.approx(gains.mean() / gains.std(ddof=1))
    mirrored = compare(b, a)
    assert (mirrored.difference, mirrored.effect) == pytest.approx((-result.difference, -result.effect))


def test_statistics_are_none_when_undefined():
    one = np.array([[[3, 1], [2, 4]]])
    assert cluster_interval(one) is None
    assert compare(one, one) is None
    same = compare(np.repeat(one, 3, 0), np.repeat(one, 3, 0))
    assert (same.difference, same.low, same.high, same.p, same.effect) == (0, 0, 0, 1, None)
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(np.repeat(one, 2, 0), np.repeat(one.transpose(0, 2, 1), 2, 0))


def test_compare_does_not_depend_on_the_batch_size_of_resamples(monkeypatch):
    rng = np.random.default_rng(3)
    easy, clips = draw_speakers(rng, (16,)), draw_clip_counts(rng, (16,))
    a, b = draw_confusions(rng, easy, clips), draw_confusions(rng, easy, clips)
    unbatched = compare(a, b, resamples=500)
    monkeypatch.setattr("seenet.evaluation.speaker_statistics.MAX_BATCH_COUNTS", 2000)
    assert compare(a, b, resamples=500) == unbatched


def test_cluster_interval_equals_student_t_for_a_mean():
    """With one class, the jackknife of a mean recall is the interval of Student's t."""
    hits = np.array([5, 8, 9])
    counts = np.array([[[h, 10 - h], [0, 0]] for h in hits])
    mean, error = hits.mean() / 10, hits.std(ddof=1) / 10 / math.sqrt(3)
    found = cluster_interval(counts, level=0.5)
    margin = stats.t.ppf(0.75, 2) * error
    assert (found.low, found.high) == pytest.approx((mean - margin, mean + margin))
    certain = cluster_interval(counts)
    assert certain.low >= 0 and certain.high == 1, "UA is between 0 and 1"
    better = compare(counts, np.array([[[5, 5], [0, 0]]] * 3), level=0.5)
    assert (better.low, better.high) == pytest.approx((found.low - 0.5, found.high - 0.5))


def test_adjust_p_values_equals_holm_by_hand():
    assert adjust_p_values([0.01, 0.04, 0.03]) == pytest.approx(
        [0.03, 0.06, 0.06]
    )  # 3 * 0.01, then 2 * 0.03, then the running maximum
    assert adjust_p_values([0.6, 0.7]) == [1, 1]
    assert adjust_p_values([]) == []
