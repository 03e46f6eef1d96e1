"""Section with the scores of each arm and their differences from the baseline."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seenet.evaluation.clusters import describe_clusters, name_clusters
from seenet.evaluation.speaker_statistics import Interval
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.baseline_comparison import Difference, compare_with_baseline
from seenet.reporting.console_tables import SCORE_HEADINGS, format_mean_std
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import Picture, save_figure
from seenet.reporting.formatting import (
    MISSING_TEXT,
    format_duration,
    format_effect,
    format_interval,
    format_p_value,
    format_percent,
    format_points,
)
from seenet.reporting.report_plots import plot_forest


def build_leaderboard_section(arms: Sequence[ArmMetrics], baseline: ArmMetrics, folder: Path, prefix: str) -> Section:
    """Build the ranking of arms by UA with intervals, and the differences from the baseline."""
    differences = compare_with_baseline(arms, baseline)
    tables = [_table_scores(arms, prefix)]
    if differences:
        tables.append(_table_differences(differences, baseline, prefix))
    reasons = {arm.arm.name: arm.missing_interval_reason for arm in arms}
    notes = [f"No interval for {name}: {reason}." for name, reason in reasons.items() if reason]
    clusters = [*(arm.clusters for arm in arms), *(d.clusters for d in differences)]
    notes += describe_clusters([one for one in clusters if one])
    picture = _plot_scores(arms, differences, baseline, folder, prefix)
    return Section("Leaderboard", notes, [picture], tables)


def _table_scores(arms: Sequence[ArmMetrics], prefix: str) -> Table:
    numbers, text = [], []
    for arm in arms:
        means = {score: statistics.mean(arm.list_scores(score)) for score in SCORE_HEADINGS}
        has_deviation = len(arm.results) > 1
        deviations = {
            f"{score}_std": statistics.stdev(arm.list_scores(score)) if has_deviation else math.nan
            for score in SCORE_HEADINGS
        }
        clips, seconds = int(arm.confusion.sum()), sum(result.facts["seconds"] for result in arm.results)
        folds, seeds = ({result.fold_and_seed[k] for result in arm.results} for k in (0, 1))
        low, high = _list_ends(arm)
        numbers.append(
            {"arm": arm.arm.name, **means, **deviations, "ua_pooled": arm.ua, "ua_low": low, "ua_high": high}
            | {"folds": len(folds), "seeds": len(seeds), "test_clips": clips, "seconds": seconds}
        )
        scores = {heading: format_mean_std(arm.list_scores(score)) for score, heading in SCORE_HEADINGS.items()}
        text.append(
            {"arm": arm.arm.name, **scores}
            | {"pooled UA %": format_percent(arm.ua), "95 % interval": format_interval(arm.interval)}
            | {"folds × seeds": f"{len(folds)} × {len(seeds)}", "test clips": str(clips)}
            | {"time": format_duration(seconds)}
        )
    keys = {heading: score for score, heading in SCORE_HEADINGS.items()}
    keys |= {"pooled UA %": "ua_pooled", "95 % interval": "ua_low", "test clips": "test_clips", "time": "seconds"}
    return Table(
        f"{prefix}leaderboard",
        "UA, WA and macro-F1: mean ± standard deviation over folds and seeds. Pooled UA: over all test clips together, "
        f"with a 95 % interval over {name_clusters(arm.clusters for arm in arms)}.",
        pd.DataFrame(numbers),
        pd.DataFrame(text),
        keys,
    )


def _list_ends(arm: ArmMetrics) -> tuple[float, float]:
    return (arm.interval.low, arm.interval.high) if arm.interval else (math.nan, math.nan)


def _plot_scores(
    arms: Sequence[ArmMetrics], differences: Sequence[Difference], baseline: ArmMetrics, folder: Path, prefix: str
) -> Picture:
    scores = {arm.arm.name: (arm.ua, *_list_ends(arm)) for arm in arms}
    shown = {d.arm: (d.comparison.difference, d.comparison.low, d.comparison.high) for d in differences if d.comparison}
    return save_figure(
        plot_forest(scores, shown, baseline.arm.name),
        folder,
        f"{prefix}leaderboard",
        f"Pooled UA of each arm with its 95 % interval over {name_clusters(arm.clusters for arm in arms)}"
        + (", and the difference from the baseline." if shown else "."),
        "UA by arm: " + ", ".join(f"{name} {format_percent(ua)} %" for name, (ua, _, _) in scores.items()),
    )


def _table_differences(differences: Sequence[Difference], baseline: ArmMetrics, prefix: str) -> Table:
    numbers = [
        {"arm": d.arm, "baseline": baseline.arm.name, "clips": d.paired_clips, "left_out": d.unpaired_clips}
        | {name: getattr(d.comparison, name, None) for name in ("difference", "low", "high", "p", "effect")}
        | {"p_holm": d.adjusted_p, "why_not": d.reason}
        for d in differences
    ]
    clusters = name_clusters(d.clusters for d in differences)
    keys = {"difference": "difference", "95 % interval": "low", "p": "p", "p (Holm)": "p_holm"}
    return Table(
        f"{prefix}differences",
        f"Pooled UA minus pooled UA of the baseline {baseline.arm.name}, in points, on the same test clips of the same "
        f"folds and seeds. p: permutation test that swaps the predictions of complete {clusters}; Holm: adjusted for "
        f"the number of arms; d_z: mean over standard deviation of the differences of {clusters}.",
        pd.DataFrame(numbers),
        pd.DataFrame([_format_difference(d) for d in differences]),
        keys | {"effect d_z": "effect", "paired clips": "clips"},
    )


def _format_difference(difference: Difference) -> dict[str, str]:
    """Return the cells of one row; the reason replaces the difference if there is no comparison."""
    comparison = difference.comparison
    unpaired = f" ({difference.unpaired_clips} left out)" if difference.unpaired_clips else ""
    cells = {"arm": difference.arm, "difference": difference.reason, "95 % interval": MISSING_TEXT}
    if comparison:
        cells["difference"] = format_points(comparison.difference)
        cells["95 % interval"] = format_interval(Interval(comparison.low, comparison.high), format_points)
    return cells | {
        "p": format_p_value(comparison.p if comparison else None),
        "p (Holm)": format_p_value(difference.adjusted_p),
        "effect d_z": format_effect(comparison.effect if comparison else None),
        "paired clips": f"{difference.paired_clips}{unpaired}",
    }
