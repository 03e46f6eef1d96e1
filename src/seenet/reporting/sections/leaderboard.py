"""How good each arm is, what sets it apart from a baseline, and what was published."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seenet.evaluation.clusters import describe_clusters, name_clusters
from seenet.evaluation.speaker_statistics import Interval
from seenet.reporting import report_plots
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.baseline_comparison import Difference, differences
from seenet.reporting.console_tables import SCORES, mean_and_deviation
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import MINUS, NONE, duration, interval, p_value, percent, points
from seenet.reporting.grouping import Study


def leaderboard(study: Study, arms: Sequence[ArmMetrics], baseline: ArmMetrics, folder: Path, prefix: str) -> Section:
    """The arms by UA, with intervals, beside their differences from the baseline."""
    numbers, text = [], []
    for arm in arms:
        means = {score: statistics.mean(arm.each(score)) for score in SCORES}
        stds = {f"{s}_std": statistics.stdev(arm.each(s)) if len(arm.results) > 1 else math.nan for s in SCORES}
        clips, seconds = int(arm.confusion.sum()), sum(r.facts["seconds"] for r in arm.results)
        folds, seeds = ({r.part[k] for r in arm.results} for k in (0, 1))
        low, high = (arm.interval.low, arm.interval.high) if arm.interval else (math.nan, math.nan)
        numbers.append(
            {"arm": arm.arm.name, **means, **stds, "ua_pooled": arm.ua, "ua_low": low, "ua_high": high}
            | {"folds": len(folds), "seeds": len(seeds), "test_clips": clips, "seconds": seconds}
        )
        text.append(
            {"arm": arm.arm.name, **{label: mean_and_deviation(arm.each(s)) for s, label in SCORES.items()}}
            | {"pooled UA %": percent(arm.ua), "95 % interval": interval(arm.interval)}
            | {"folds × seeds": f"{len(folds)} × {len(seeds)}", "test clips": str(clips), "time": duration(seconds)}
        )
    keys = {label: score for score, label in SCORES.items()}
    keys |= {"pooled UA %": "ua_pooled", "95 % interval": "ua_low", "test clips": "test_clips", "time": "seconds"}
    table = Table(
        f"{prefix}leaderboard",
        "UA, WA and macro-F1: mean ± standard deviation over folds and seeds. Pooled UA: of all test clips together, "
        f"with a 95 % interval over {name_clusters(arm.clusters for arm in arms)}.",
        pd.DataFrame(numbers),
        pd.DataFrame(text),
        keys,
    )
    found = differences(arms, baseline)
    ends = {arm.arm.name: (arm.ua, *((arm.interval and (arm.interval.low, arm.interval.high)) or (math.nan,) * 2))
            for arm in arms}  # fmt: skip
    apart = {d.arm: (d.found.difference, d.found.low, d.found.high) for d in found if d.found}
    picture = report_plots.save_figure(
        report_plots.forest(ends, apart, baseline.arm.name),
        folder,
        f"{prefix}leaderboard",
        f"Pooled UA of each arm with its 95 % interval over {name_clusters(arm.clusters for arm in arms)}"
        + (", and the difference from the baseline." if apart else "."),
        "UA by arm: " + ", ".join(f"{name} {percent(ua)} %" for name, (ua, _, _) in ends.items()),
    )
    notes = [f"No interval for {arm.arm.name}: {arm.without_interval}." for arm in arms if arm.without_interval]
    clusters = [*(arm.clusters for arm in arms), *(d.clusters for d in found)]
    notes += describe_clusters([one for one in clusters if one])
    tables = [table, *([_difference_table(found, baseline, prefix)] if found else [])]
    return Section("Leaderboard", notes, [picture], tables)


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.2f}".replace("-", MINUS)


def _difference_table(found: Sequence[Difference], baseline: ArmMetrics, prefix: str) -> Table:
    numbers = [
        {"arm": d.arm, "baseline": baseline.arm.name, "clips": d.pairs, "left_out": d.left_out}
        | {name: getattr(d.found, name, None) for name in ("difference", "low", "high", "p", "effect")}
        | {"p_holm": d.adjusted, "why_not": d.why}
        for d in found
    ]
    text = [
        {
            "arm": d.arm,
            "difference": points(d.found.difference) if d.found else d.why,
            "95 % interval": interval(Interval(d.found.low, d.found.high), points) if d.found else NONE,
            "p": p_value(d.found.p if d.found else None),
            "p (Holm)": p_value(d.adjusted),
            "effect d_z": f"{d.found.effect:+.2f}".replace("-", MINUS)
            if d.found and d.found.effect is not None
            else NONE,
            "paired clips": f"{d.pairs}" + (f" ({d.left_out} left out)" if d.left_out else ""),
        }
        for d in found
    ]
    over = name_clusters(d.clusters for d in found)
    keys = {"difference": "difference", "95 % interval": "low", "p": "p", "p (Holm)": "p_holm"}
    return Table(
        f"{prefix}differences",
        f"Pooled UA minus that of the baseline {baseline.arm.name}, in points, on the same test clips of the same "
        f"folds and seeds. p: permutation test that swaps whole {over}; Holm: adjusted for the number of arms; "
        f"d_z: mean over standard deviation of the differences of {over}.",
        pd.DataFrame(numbers),
        pd.DataFrame(text),
        keys | {"effect d_z": "effect", "paired clips": "clips"},
    )
