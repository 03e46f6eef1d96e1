"""Definitions of UA, WA, macro-F1 and recall from confusion counts.

UA (unweighted accuracy) is the mean recall of the classes that occur. WA (weighted accuracy) is the share of correct
clips. Macro-F1 is the mean over the classes that occur or are predicted.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def classification_scores(confusion: ArrayLike) -> dict[str, NDArray[np.float64]]:
    """Compute the scores of confusion counts.

    Args:
        confusion: counts, rows the true class. Shape (..., classes, classes).

    Returns:
        `ua`, `wa`, `macro_f1` in [0, 1], shape (...); `recall`, shape (..., classes), NaN for a class that does not
        occur. All scores are NaN if there are no counts.
    """
    counts: NDArray[np.float64] = np.asarray(confusion, dtype=np.float64)
    hits, true, predicted = np.einsum("...ii->...i", counts), counts.sum(-1), counts.sum(-2)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, which the means ignore
        recall = hits / true
        return {
            "ua": _mean(recall),
            "wa": hits.sum(-1) / true.sum(-1),
            "macro_f1": _mean(2 * hits / (true + predicted)),
            "recall": recall,
        }


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the classes with a value; `np.nanmean` would warn if there are none."""
    mean: NDArray[np.float64] = np.nansum(values, -1) / np.isfinite(values).sum(-1)
    return mean
