"""What is measured on the test clips of an arm, over its folds and seeds together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from seenet.evaluation.clusters import Clusters, count_confusions, find_clusters
from seenet.evaluation.scores import classification_scores
from seenet.evaluation.speaker_statistics import Interval, cluster_interval
from seenet.reporting.grouping import Arm, pooled_confusion
from seenet.reporting.result_loader import LoadedResult, codes


def clips_of(results: Sequence[LoadedResult], classes: Sequence[str]) -> pd.DataFrame | None:
    """Every test clip, or None where a result has no predictions.

    Returns:
        `fold`, `seed`, `utterance`, `speaker`, `session` (missing where the result does not record it), `label` and
        `prediction` (numbers of classes), `result` (its number in `results`) and `row` (in its predictions.csv).
    """
    tables = []
    for number, result in enumerate(results):
        rows = result.predictions
        if rows is None:
            return None
        table = rows[["utterance", "speaker"]].assign(
            session=_sessions(result, rows),
            label=codes(rows["label"], classes),
            prediction=codes(rows["prediction"], classes),
            fold=result.part[0],
            seed=result.part[1],
            result=number,
            row=np.arange(len(rows)),
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _sessions(result: LoadedResult, rows: pd.DataFrame) -> pd.Series | str | None:
    """The session of each row; older results lack them, which matters where the audit knew some."""
    if "session" in rows:
        return rows["session"]
    return "" if result.facts["audit"].get("session", "unknown") == "unknown" else None


@dataclass(frozen=True)
class ArmMetrics:
    """An arm under one test condition.

    Attributes:
        arm: which.
        results: one for each fold and seed.
        classes: in their order.
    """

    arm: Arm
    results: Sequence[LoadedResult]
    classes: Sequence[str]

    @cached_property
    def confusion(self) -> np.ndarray:
        """Counts of all test clips. Shape (classes, classes)."""
        return pooled_confusion(self.results)

    @cached_property
    def ua(self) -> float:
        """UA of all test clips together."""
        return float(classification_scores(self.confusion)["ua"])

    @cached_property
    def clips(self) -> pd.DataFrame | None:
        """See `clips_of`."""
        return clips_of(self.results, self.classes)

    @cached_property
    def speakers(self) -> tuple[list[str], np.ndarray] | None:
        """Speakers and their confusion counts, shape (speakers, classes, classes); None where some are unknown."""
        if self.clips is None or (self.clips["speaker"] == "").any():
            return None
        numbers, names = pd.factorize(self.clips["speaker"], sort=True)
        return list(names), count_confusions(*self._answers, numbers, len(names), len(self.classes))

    @cached_property
    def _answers(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predictions of all test clips, numbers of classes. Shape (clips,) each."""
        return self.clips["label"].to_numpy(), self.clips["prediction"].to_numpy()

    @cached_property
    def clusters(self) -> Clusters | None:
        """What the interval is over; None where some speakers are unknown."""
        return None if self.clips is None else find_clusters(self.clips["speaker"], self.clips["session"])

    @cached_property
    def interval(self) -> Interval | None:
        """95 % confidence interval of `ua` over `clusters`; None where the speakers are unknown or there is one."""
        if self.clusters is None:
            return None
        return cluster_interval(self.clusters.count_confusions(*self._answers, len(self.classes)), "ua")

    @property
    def without_interval(self) -> str:
        """Why there is no interval, in words; empty where there is one."""
        if self.clips is None:
            return "a predictions.csv is missing"
        if self.clusters is None:
            return "the corpus does not name all speakers"
        return "" if self.interval else "there is only one speaker"

    def each(self, score: str) -> list[float]:
        """A score of every fold and seed."""
        return [r.facts["metrics"][score] for r in self.results]


def area(snr_db: Sequence[float], values: Sequence[float]) -> float | None:
    """Mean of a curve over its range, by the trapezoid rule; None for less than two points."""
    if len(snr_db) < 2:
        return None
    return float(np.trapezoid(values, snr_db) / (snr_db[-1] - snr_db[0]))
