"""Metrics of an arm over the test clips of all its folds and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from seenet.evaluation.clusters import Clusters, count_confusions, find_clusters
from seenet.evaluation.scores import classification_scores
from seenet.evaluation.speaker_statistics import Interval, cluster_interval
from seenet.reporting.grouping import Arm, pool_confusions
from seenet.reporting.result_loader import LoadedResult, encode_classes


def collect_clips(results: Sequence[LoadedResult], classes: Sequence[str]) -> pd.DataFrame | None:
    """Return one row for each test clip; None if a result lacks predictions.

    Returns:
        The columns `fold`, `seed`, `utterance`, `speaker`, `session` (missing if the result does not record it),
        `label` and `prediction` (class indices), `result` (index in `results`) and `row` (in its predictions.csv).
    """
    tables = []
    for number, result in enumerate(results):
        rows = result.predictions
        if rows is None:
            return None
        fold, seed = result.fold_and_seed
        table = rows[["utterance", "speaker"]].assign(
            session=_read_sessions(result, rows),
            label=encode_classes(rows["label"], classes),
            prediction=encode_classes(rows["prediction"], classes),
            fold=fold,
            seed=seed,
            result=number,
            row=np.arange(len(rows)),
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _read_sessions(result: LoadedResult, rows: pd.DataFrame) -> pd.Series | str | None:
    """Return the session of each row; None if the corpus has sessions but the result lacks them."""
    if "session" in rows:
        return rows["session"]
    return "" if result.facts["audit"].get("session", "unknown") == "unknown" else None


def _labels_and_predictions(clips: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the class indices of labels and predictions of clips. Shape (clips,) each."""
    return clips["label"].to_numpy(), clips["prediction"].to_numpy()


@dataclass(frozen=True)
class ArmMetrics:
    """Metrics of an arm under one test condition.

    Attributes:
        arm: the arm.
        results: its results under the condition, one for each fold and seed.
        classes: the class names in their order.
    """

    arm: Arm
    results: Sequence[LoadedResult]
    classes: Sequence[str]

    @cached_property
    def confusion(self) -> np.ndarray:
        """Confusion counts of all test clips. Shape (classes, classes)."""
        return pool_confusions(self.results)

    @cached_property
    def ua(self) -> float:
        """UA over all test clips together."""
        return float(classification_scores(self.confusion)["ua"])

    @cached_property
    def clips(self) -> pd.DataFrame | None:
        """All test clips, as `collect_clips` returns them."""
        return collect_clips(self.results, self.classes)

    @cached_property
    def speakers(self) -> tuple[list[str], np.ndarray] | None:
        """Speakers and their confusion counts; None if a speaker is unknown.

        The shape of the counts is (speakers, classes, classes).
        """
        if self.clips is None or (self.clips["speaker"] == "").any():
            return None
        numbers, names = pd.factorize(self.clips["speaker"], sort=True)
        labels, predictions = _labels_and_predictions(self.clips)
        return list(names), count_confusions(labels, predictions, numbers, len(names), len(self.classes))

    @cached_property
    def clusters(self) -> Clusters | None:
        """Units of resampling for the interval; None if a speaker is unknown."""
        return None if self.clips is None else find_clusters(self.clips["speaker"], self.clips["session"])

    @cached_property
    def interval(self) -> Interval | None:
        """95 % confidence interval of `ua`; None if there are fewer than two clusters."""
        if self.clips is None or self.clusters is None:
            return None
        labels, predictions = _labels_and_predictions(self.clips)
        return cluster_interval(self.clusters.count_confusions(labels, predictions, len(self.classes)), "ua")

    @property
    def missing_interval_reason(self) -> str:
        """Reason for a missing interval; empty if there is an interval."""
        if self.clips is None:
            return "a predictions.csv is missing"
        if self.clusters is None:
            return "the corpus does not name all speakers"
        return "" if self.interval else "there is only one speaker"

    def list_scores(self, score: str) -> list[float]:
        """Return a score of every fold and seed."""
        return [result.facts["metrics"][score] for result in self.results]
