"""Paired comparison of arms with a baseline over clusters of test clips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from seenet.evaluation.clusters import Clusters, find_clusters
from seenet.evaluation.speaker_statistics import Comparison, adjust_p_values, compare
from seenet.reporting.arm_metrics import ArmMetrics

PAIR_COLUMNS = ["fold", "seed", "utterance"]
"""Columns that identify the same test clip in two arms."""


@dataclass(frozen=True)
class Difference:
    """The difference between an arm and the baseline.

    Attributes:
        arm: the name of the arm.
        paired_clips: number of clips (of a fold and a seed) that both arms have.
        unpaired_clips: number of clips that only one of them has.
        comparison: UA difference, interval, p and effect; None if they cannot be computed.
        adjusted_p: p adjusted by Holm's method over all arms of the study.
        clusters: the units of resampling; None if a speaker is unknown.
        reason: why there is no comparison; empty if there is one.
    """

    arm: str
    paired_clips: int = 0
    unpaired_clips: int = 0
    comparison: Comparison | None = None
    adjusted_p: float | None = None
    clusters: Clusters | None = None
    reason: str = ""


def compare_with_baseline(arms: Sequence[ArmMetrics], baseline: ArmMetrics) -> list[Difference]:
    """Compare every other arm with the baseline."""
    differences = [_compare_arm(arm, baseline) for arm in arms if arm is not baseline]
    p_values = [d.comparison.p for d in differences if d.comparison]
    adjusted = iter(adjust_p_values(p_values))
    return [replace(d, adjusted_p=next(adjusted)) if d.comparison else d for d in differences]


def _compare_arm(arm: ArmMetrics, baseline: ArmMetrics) -> Difference:
    name = arm.arm.name
    if arm.clips is None or baseline.clips is None:
        return Difference(name, reason="a predictions.csv is missing")
    both = pd.merge(arm.clips, baseline.clips, on=PAIR_COLUMNS, suffixes=("", "_b"), validate="one_to_one")
    unpaired = len(arm.clips) + len(baseline.clips) - 2 * len(both)
    difference = Difference(name, len(both), unpaired)
    if both.empty:
        return replace(difference, reason="no fold and seed in common")
    if (both["label"] != both["label_b"]).any():
        return replace(difference, reason="the clips have different labels")
    clusters = find_clusters(both["speaker"], both["session"].where(both["session"].notna(), both["session_b"]))
    if clusters is None:
        return replace(difference, reason="the corpus does not name all speakers")
    labels = both["label"].to_numpy()
    counts, baseline_counts = (
        clusters.count_confusions(labels, both[column].to_numpy(), len(arm.classes))
        for column in ("prediction", "prediction_b")
    )
    comparison = compare(counts, baseline_counts, score="ua")
    reason = "" if comparison else "there is only one speaker"
    return replace(difference, comparison=comparison, clusters=clusters, reason=reason)
