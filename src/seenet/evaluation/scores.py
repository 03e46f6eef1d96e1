"""UA, WA, macro-F1 and recall from confusion counts: the one place that defines them.

UA (unweighted accuracy) is the mean recall over the classes that occur; WA (weighted accuracy) is plain accuracy;
macro-F1 is over the classes that occur or are predicted.
"""

import numpy as np
from numpy.typing import ArrayLike


def classification_scores(confusion: ArrayLike) -> dict[str, np.ndarray]:
    """The figures of confusion counts.

    Args:
        confusion: counts, rows the true class, shape (..., classes, classes).

    Returns:
        `ua`, `wa`, `macro_f1` in [0, 1], shape (...); `recall`, shape (..., classes), NaN for a class that does not
        occur. Everything is NaN where there are no counts at all.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    hits, true, predicted = np.einsum("...ii->...i", confusion), confusion.sum(-1), confusion.sum(-2)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which the means leave out
        recall = hits / true
        return {
            "ua": _mean(recall),
            "wa": hits.sum(-1) / true.sum(-1),
            "macro_f1": _mean(2 * hits / (true + predicted)),
            "recall": recall,
        }


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the classes that have a value; `np.nanmean` would warn where none has."""
    return np.nansum(values, -1) / np.isfinite(values).sum(-1)
