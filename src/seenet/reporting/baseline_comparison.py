"""Arms against a baseline: on the same clips, over clusters of clips, adjusted for the number of arms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from seenet.evaluation.clusters import Clusters, find_clusters
from seenet.evaluation.speaker_statistics import Comparison, adjust_p_values, compare
from seenet.reporting.arm_metrics import ArmMetrics

PAIR = ["fold", "seed", "utterance"]


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline.

    Attributes:
        arm: its name.
        pairs: how many clips (of a fold and a seed) both have.
        left_out: how many clips only one of them has.
        found: UA difference, interval, p and effect; None where nothing can be said.
        adjusted: p by Holm's method over all arms of the study.
        clusters: what `found` is over; None where the speakers are unknown.
        why: there is nothing to say, in words.
    """

    arm: str
    pairs: int = 0
    left_out: int = 0
    found: Comparison | None = None
    adjusted: float | None = None
    clusters: Clusters | None = None
    why: str = ""


def _difference(arm: ArmMetrics, baseline: ArmMetrics) -> Difference:
    name = arm.arm.name
    if arm.clips is None or baseline.clips is None:
        return Difference(name, why="a predictions.csv is missing")
    both = pd.merge(arm.clips, baseline.clips, on=PAIR, suffixes=("", "_b"), validate="one_to_one")
    left_out = len(arm.clips) + len(baseline.clips) - 2 * len(both)
    made = Difference(name, len(both), left_out)
    if both.empty:
        return replace(made, why="no fold and seed in common")
    if (both["label"] != both["label_b"]).any():
        return replace(made, why="the clips have other labels")
    clusters = find_clusters(both["speaker"], both["session"].where(both["session"].notna(), both["session_b"]))
    if clusters is None:
        return replace(made, why="the corpus does not name all speakers")
    labels, k = both["label"].to_numpy(), len(arm.classes)
    counts = [
        clusters.count_confusions(labels, both[column].to_numpy(), k) for column in ("prediction", "prediction_b")
    ]
    found = compare(*counts, score="ua")
    return replace(made, found=found, clusters=clusters, why="" if found else "there is only one speaker")


def differences(arms: Sequence[ArmMetrics], baseline: ArmMetrics) -> list[Difference]:
    """Compare every other arm with the baseline."""
    made = [_difference(arm, baseline) for arm in arms if arm is not baseline]
    told = [d.found.p for d in made if d.found]
    adjusted = iter(adjust_p_values(told))
    return [replace(d, adjusted=next(adjusted)) if d.found else d for d in made]
