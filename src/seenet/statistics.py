"""How sure a score is, and whether two arms differ: over speakers, never over clips.

Clips of one speaker stand or fall together, so the speaker is what is resampled and what is swapped. Every function
takes confusion counts by speaker, shape (speakers, classes, classes), rows the true class, summed over the folds and
seeds that are meant; every speaker has at least one clip. What is said holds for other speakers like these, with the
training as it was: training data and seeds are not resampled.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from seenet.scores import scores

Score = Literal["ua", "wa", "macro_f1"]

BATCH = 2**22
"""Counts that are gathered at a time, so that a corpus of a thousand speakers needs no gigabytes."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: its lower end.
        high: its upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What sets arm `a` apart from arm `b`.

    Attributes:
        difference: score of `a` minus score of `b`.
        low: lower end of the difference's confidence interval.
        high: its upper end.
        p: two-sided p-value of the hypothesis that the arms are the same.
        effect: Cohen's d_z: mean over standard deviation of the speakers' differences; None where they are all equal.
    """

    difference: float
    low: float
    high: float
    p: float
    effect: float | None


def speaker_interval(
    confusions: np.ndarray, score: Score = "ua", level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Interval | None:
    """Confidence interval of a score over speakers, by Hesterberg's expanded percentile bootstrap.

    Hesterberg, *What Teachers Should Know About the Bootstrap*, The American Statistician 69(4), 2015, section 5.3.

    Args:
        confusions: counts by speaker, shape (speakers, classes, classes).
        score: which score.
        level: of confidence.
        resamples: how often the speakers are drawn.
        seed: of the draws.

    Returns:
        None for a single speaker (or where nobody knows the speakers), who says nothing about others.
    """
    confusions = np.asarray(confusions)

    def statistic(speakers: np.ndarray, axis: int) -> np.ndarray:
        return _pooled(confusions[speakers], score)

    return _interval(statistic, len(confusions), confusions.size, level, resamples, seed)


def compare(
    a: np.ndarray,
    b: np.ndarray,
    score: Score = "ua",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Comparison | None:
    """Difference of two arms on the same clips: its interval, p-value and effect size, paired by speakers.

    The interval is that of `speaker_interval`. The p-value is of a permutation test that swaps the two arms'
    predictions of whole speakers; it is exact where 2^speakers <= `resamples`. The effect size is of `score` by
    speaker, over the classes that the speaker has.

    Args:
        a: counts of one arm by speaker, shape (speakers, classes, classes).
        b: counts of the other, the same speakers in the same order.
        score: which score.
        level: of confidence of the interval.
        resamples: how often speakers are drawn, and swapped.
        seed: of the draws.

    Returns:
        None for a single speaker.

    Raises:
        ValueError: the arms were not tested on the same clips.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or (a.sum(-1) != b.sum(-1)).any():
        raise ValueError("the arms differ in their speakers or their clips: they cannot be paired")
    n = len(a)

    def difference(speakers: np.ndarray, axis: int) -> np.ndarray:
        return _pooled(a[speakers], score) - _pooled(b[speakers], score)

    interval = _interval(difference, n, 2 * a.size, level, resamples, seed)
    if interval is None:
        return None
    both = np.concatenate([a, b])

    def swapped(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        return _pooled(both[first], score) - _pooled(both[second], score)

    test = stats.permutation_test(
        (np.arange(n), np.arange(n, 2 * n)),
        swapped,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BATCH // both.size),
        rng=np.random.default_rng(seed),
    )
    by_speaker = scores(a)[score] - scores(b)[score]
    spread = by_speaker.std(ddof=1)
    return Comparison(
        difference=float(test.statistic),
        low=interval.low,
        high=interval.high,
        p=float(test.pvalue),
        effect=float(by_speaker.mean() / spread) if spread > 1e-12 else None,
    )


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for their number (Holm, 1979), in the same order."""
    return multipletests(p_values, method="holm")[1].tolist() if p_values else []


def _pooled(confusions: np.ndarray, score: Score) -> np.ndarray:
    """Score of the speakers together; shape (..., speakers, classes, classes) to (...)."""
    return scores(confusions.sum(-3))[score]


def _interval(statistic, speakers: int, size: int, level: float, resamples: int, seed: int) -> Interval | None:
    """The expanded percentile interval of `statistic(drawn speakers)`; `size` counts are gathered a resample."""
    if speakers < 2:
        return None
    # The percentile interval is too narrow by sqrt((n - 1) / n), and takes normal for t quantiles.
    widened = np.sqrt(speakers / (speakers - 1)) * stats.t.ppf((1 + level) / 2, speakers - 1)
    low, high = stats.bootstrap(
        (np.arange(speakers),),
        statistic,
        vectorized=True,
        method="percentile",
        confidence_level=2 * stats.norm.cdf(widened) - 1,
        n_resamples=resamples,
        batch=max(1, BATCH // size),
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(float(low), float(high))
