"""Scores against scikit-learn; intervals and tests against simulated speakers whose truth is known."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from seenet.scores import scores
from seenet.statistics import Interval, compare, holm, speaker_interval

EXPERIMENTS, SPEAKERS, CLASSES, CLIPS = 1000, 24, 4, 40
EASE = np.array([0.4, 0.9, 1.4, 2.0])
"""Log odds of recognising each class in a typical speaker."""

BY_SPEAKER, BY_CLASS = 0.8, 0.6
"""Standard deviations, in log odds, of what a speaker adds to all classes and to each one."""


def speakers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Log odds of a correct prediction, shape (*shape, classes), for newly drawn speakers."""
    return EASE + BY_SPEAKER * rng.normal(size=(*shape, 1)) + BY_CLASS * rng.normal(size=(*shape, CLASSES))


def heard(rng: np.random.Generator, right: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """Counts, shape (..., classes, classes), of clips recognised with the log odds; errors fall on any other class."""
    error = (1 - expit(right))[..., None] / (CLASSES - 1)
    return rng.multinomial(clips, np.where(np.eye(CLASSES, dtype=bool), expit(right)[..., None], error))


def spoken(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.multinomial(CLIPS, np.full(CLASSES, 1 / CLASSES), size=shape)


def true_ua() -> float:
    """Mean recall over all speakers, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    chances = expit(EASE[:, None] + np.hypot(BY_SPEAKER, BY_CLASS) * nodes)
    return float((chances @ (weights / weights.sum())).mean())


@pytest.mark.parametrize("occurring", [4, 3], ids=["all classes", "one class absent"])
def test_scores_are_those_of_sklearn(occurring: int):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, occurring, (2, 3, 50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = scores([confusion_matrix(*pair, labels=range(4)) for pair in zip(labels, predicted, strict=True)])
    for fold, pair in enumerate(zip(labels, predicted, strict=True)):
        assert values["ua"][fold] == pytest.approx(recall_score(*pair, average="macro"))
        assert values["wa"][fold] == pytest.approx(accuracy_score(*pair))
        assert values["macro_f1"][fold] == pytest.approx(f1_score(*pair, average="macro"))
        assert values["recall"][fold, :occurring] == pytest.approx(recall_score(*pair, average=None))
        assert np.isnan(values["recall"][fold, occurring:]).all()


def test_a_class_that_is_only_predicted_counts_for_f1_alone():
    values = scores([[1, 1], [0, 0]])
    assert (values["ua"], values["wa"]) == (0.5, 0.5)
    assert values["macro_f1"] == pytest.approx(f1_score([0, 0], [0, 1], average="macro"))


def test_the_interval_over_speakers_covers_the_truth_and_one_over_clips_does_not():
    rng = np.random.default_rng(0)
    shape = (EXPERIMENTS, SPEAKERS)
    confusions, truth = heard(rng, speakers(rng, shape), spoken(rng, shape)), true_ua()
    ours = [speaker_interval(counts, resamples=999, seed=seed) for seed, counts in enumerate(confusions)]
    covered = np.mean([interval.low <= truth <= interval.high for interval in ours])
    assert 0.93 <= covered <= 0.97

    naive = []
    for counts in confusions.sum(1):
        drawn = rng.multinomial(counts.sum(), counts.ravel() / counts.sum(), size=999)  # clips with replacement
        low, high = np.quantile(scores(drawn.reshape(-1, CLASSES, CLASSES))["ua"], [0.025, 0.975])
        naive.append(low <= truth <= high)
    assert np.mean(naive) < 0.93


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
    gains = np.array([2, 3, 4, 5, 4]) / 20
    assert result.difference == pytest.approx(gains.mean())
    assert result.effect == pytest.approx(gains.mean() / gains.std(ddof=1))
    mirrored = compare(b, a)
    assert (mirrored.difference, mirrored.effect) == pytest.approx((-result.difference, -result.effect))


def test_what_cannot_be_said_is_none():
    one = np.array([[[3, 1], [2, 4]]])
    assert speaker_interval(one) is None
    assert compare(one, one) is None
    same = compare(np.repeat(one, 3, 0), np.repeat(one, 3, 0))
    assert (same.difference, same.low, same.high, same.p, same.effect) == (0, 0, 0, 1, None)
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(np.repeat(one, 2, 0), np.repeat(one.transpose(0, 2, 1), 2, 0))


def test_batches_of_resamples_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    counts = heard(rng, speakers(rng, (8,)), spoken(rng, (8,)))
    whole = speaker_interval(counts, resamples=500)
    monkeypatch.setattr("seenet.statistics.BATCH", 2000)
    assert isinstance(whole, Interval)
    assert speaker_interval(counts, resamples=500) == whole


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 * 0.01, then 2 * 0.03, then never less
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
