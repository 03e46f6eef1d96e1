"""Confidence intervals of scores and tests between arms, over clusters of clips.

Clips of one speaker are dependent, and so are speakers of one session, who share a room, a day and a dialogue.
Therefore a cluster is a speaker, or all speakers of a session.

Every function receives confusion counts by cluster, shape (clusters, classes, classes), rows the true class. They are
sums over folds and seeds, and every cluster has at least one clip. The results generalise to similar clusters, but not
to other training data or seeds, which are not resampled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from seenet.evaluation.scores import classification_scores

Score = Literal["ua", "wa", "macro_f1"]

MAX_BATCH_COUNTS = 2**22
"""Counts per batch of resamples, which limits memory for corpora with a thousand speakers."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: lower end.
        high: upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The difference between arm `a` and arm `b`.

    Attributes:
        difference: score of `a` minus score of `b`.
        low: lower end of the confidence interval of the difference.
        high: upper end of the confidence interval.
        p: two-sided p-value of the hypothesis that the arms are equal.
        effect: Cohen's d_z: mean over standard deviation of the differences of clusters; None if all are equal.
    """

    difference: float
    low: float
    high: float
    p: float
    effect: float | None


def cluster_interval(confusions: np.ndarray, score: Score = "ua", level: float = 0.95) -> Interval | None:
    """Compute the confidence interval of a score by the delete-one-cluster jackknife.

    Quantiles are those of Student's t with one degree of freedom fewer than clusters (Efron and Tibshirani, *An
    Introduction to the Bootstrap*, 1993, chapter 11). Coverage was simulated for UA with logit-normal effects of
    sessions, speakers and classes (4 classes, 40 clips per speaker, 4000 experiments per setting). The 95 % interval
    covers the truth in 93 to 95 % with 2 to 12 sessions of two speakers. With 8 to 50 speakers it covers 94 to 95 %.
    Coverage is 92 to 94 % with very unequal numbers of clips and with a UA near 85 %. A bootstrap over so few clusters
    is far too narrow: it covers the truth in 47 % with 2 sessions and in 91 % with 5.

    Args:
        confusions: counts by cluster. Shape (clusters, classes, classes).
        score: name of the score.
        level: level of confidence.

    Returns:
        The interval, or None for a single cluster, which has no variance.
    """
    confusions = np.asarray(confusions)
    return _interval(lambda counts: classification_scores(counts)[score], confusions, level, lowest=0.0)


def compare(
    a: np.ndarray,
    b: np.ndarray,
    score: Score = "ua",
    level: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> Comparison | None:
    """Compare two arms on the same clips, paired by cluster.

    The interval is that of `cluster_interval`. The p-value is that of a permutation test, which swaps the predictions
    of both arms for entire clusters. It is exact if 2^clusters <= `resamples`. The effect size uses `score` of each
    cluster over the classes of the cluster.

    Args:
        a: counts of one arm by cluster. Shape (clusters, classes, classes).
        b: counts of the other arm for the same clusters in the same order.
        score: name of the score.
        level: level of confidence of the interval.
        resamples: number of permutations.
        seed: seed of the permutations.

    Returns:
        The comparison, or None for a single cluster.

    Raises:
        ValueError: the arms were not tested on the same clips.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or (a.sum(-1) != b.sum(-1)).any():
        raise ValueError("the arms cannot be paired: their clusters or clips differ; compare results on the same clips")

    def difference(counts: np.ndarray) -> np.ndarray:
        return classification_scores(counts[..., 0, :, :])[score] - classification_scores(counts[..., 1, :, :])[score]

    interval = _interval(difference, np.stack([a, b], axis=1), level, lowest=-1.0)
    if interval is None:
        return None
    observed, p = _permutation_test(a, b, score, resamples, seed)
    by_cluster = classification_scores(a)[score] - classification_scores(b)[score]
    spread = by_cluster.std(ddof=1)
    return Comparison(
        difference=observed,
        low=interval.low,
        high=interval.high,
        p=p,
        effect=float(by_cluster.mean() / spread) if spread > 1e-12 else None,
    )


def _permutation_test(a: np.ndarray, b: np.ndarray, score: Score, resamples: int, seed: int) -> tuple[float, float]:
    """Return the difference of two arms and its p-value; see `compare`."""
    both, n = np.concatenate([a, b]), len(a)

    def swapped_difference(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        return classification_scores(both[first].sum(-3))[score] - classification_scores(both[second].sum(-3))[score]

    test = stats.permutation_test(
        (np.arange(n), np.arange(n, 2 * n)),
        swapped_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, MAX_BATCH_COUNTS // both.size),
        rng=np.random.default_rng(seed),
    )
    return float(test.statistic), float(test.pvalue)


def min_p_value(clusters: int) -> float:
    """Return the lowest possible p-value of the permutation test of `compare`.

    Of all permutations, only the identity and the swap of all clusters are as extreme.
    """
    return 2.0 ** (1 - clusters)


def adjust_p_values(p_values: list[float]) -> list[float]:
    """Adjust p-values for multiple testing (Holm, 1979); the order stays."""
    return multipletests(p_values, method="holm")[1].tolist() if p_values else []


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, level: float, lowest: float
) -> Interval | None:
    """Compute the jackknife interval of a statistic; None for a single cluster.

    Args:
        statistic: function from summed counts, shape (..., *shape), to values, shape (...).
        counts: counts by cluster. Shape (clusters, *shape).
        level: level of confidence.
        lowest: lowest possible value of the statistic; the highest is 1.
    """
    n = len(counts)
    if n < 2:
        return None
    total = counts.sum(0)
    value, without_one = statistic(total), statistic(total - counts)
    margin = stats.t.ppf((1 + level) / 2, n - 1) * np.sqrt((n - 1) * without_one.var())
    return Interval(float(max(value - margin, lowest)), float(min(value + margin, 1.0)))
