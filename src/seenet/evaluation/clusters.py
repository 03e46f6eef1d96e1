"""Clusters of dependent clips: those of one speaker, or of all speakers who share sessions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from seenet.corpora.split_schemes import group_linked
from seenet.evaluation.speaker_statistics import min_p_value


@dataclass(frozen=True)
class Clusters:
    """An assignment of clips to clusters of dependent clips.

    Attributes:
        kind: unit of a cluster.
        numbers: cluster number of each clip, from 0. Shape (clips,).
        remark: why clusters are speakers although the corpus has sessions, otherwise empty.
    """

    kind: Literal["speaker", "session"]
    numbers: np.ndarray
    remark: str = ""

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.numbers.max()) + 1

    def count_confusions(self, labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
        """Count confusions by cluster, rows the true class. Shape (clusters, classes, classes).

        Args:
            labels: class numbers. Shape (clips,).
            predictions: class numbers. Shape (clips,).
            classes: number of classes.
        """
        return count_confusions(labels, predictions, self.numbers, self.count, classes)


def count_confusions(
    labels: np.ndarray, predictions: np.ndarray, groups: np.ndarray, n_groups: int, classes: int
) -> np.ndarray:
    """Count confusions by group, rows the true class. Shape (groups, classes, classes)."""
    cells = (groups * classes + labels) * classes + predictions
    return np.bincount(cells, minlength=n_groups * classes**2).reshape(n_groups, classes, classes)


def find_clusters(speakers: pd.Series, sessions: pd.Series) -> Clusters | None:
    """Find the clusters of clips; speakers who share sessions form one cluster.

    Args:
        speakers: speaker of each clip; empty if unknown.
        sessions: session of each clip; empty if the corpus has none, missing if the result does not record it.

    Returns:
        The clusters, or None if a speaker is unknown.
    """
    if (speakers == "").any():
        return None
    by_speaker, names = pd.factorize(speakers)
    known = sessions.fillna("")
    by_session = pd.factorize(known.where(known != ""))[0]  # -1 where unknown
    groups, found = pd.factorize(group_linked(by_speaker, by_session))
    if 1 < len(found) < len(names):
        return Clusters("session", groups)
    remark = ""
    if len(found) == 1 < len(names):
        remark = "all speakers share one session or are linked by shared sessions"
    elif sessions.isna().any():
        remark = "results of an older version do not record sessions"
    return Clusters("speaker", by_speaker, remark)


def name_clusters(found: Iterable[Clusters | None]) -> str:
    """Name the unit of resampling, e.g. `speakers`."""
    return " or ".join(dict.fromkeys(f"{one.kind}s" for one in found if one)) or "speakers"


def describe_clusters(found: Sequence[Clusters]) -> list[str]:
    """Describe the unit of resampling and its limits in sentences, without duplicates.

    Args:
        found: the clusters of each arm.
    """
    sentences = []
    for one in found:
        if one.kind == "session":
            sentences.append("Intervals and tests are over sessions: the speakers of a session are taken together.")
        elif one.remark:
            sentences.append(
                f"Intervals and tests are over speakers, not sessions: {one.remark}. They ignore the dependence "
                "between speakers of a session and may be too narrow."
            )
        if one.count > 1 and min_p_value(one.count) > 0.05:
            sentences.append(f"Only {one.count} {one.kind}s: p cannot be below {min_p_value(one.count):.2g}.")
    return list(dict.fromkeys(sentences))
