"""The section beside the published figures."""

import statistics
from collections.abc import Sequence

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.console_tables import mean_and_deviation
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import NONE, points
from seenet.reporting.grouping import Study
from seenet.reporting.published_results import FOLDS, mismatches, published_row, published_rows


def published_section(study: Study, arms: Sequence[ArmMetrics], prefix: str) -> Section | None:
    """The published figures of this corpus beside ours, and whether they compare, in words."""
    row = published_row(study.first)
    if row is None or study.condition != "clean":
        return None
    rows, notes = [], []
    for arm in arms:
        facts = arm.results[0].facts
        if (facts["aug"], facts["aux_task"]) != ("ebm", "see"):
            continue
        words = mismatches(facts, row)
        done = len({r.part[0] for r in arm.results})
        if done < facts["n_folds"]:
            words.append(f"{done} of {facts['n_folds']} folds are there")
        if facts["backbone"] != "wavlm":
            words.append(f"{facts['backbone']} here, {row['backbone']} there")
        for score in ("ua", "wa"):
            ours, theirs = statistics.mean(arm.each(score)), float(row[score]) / 100
            rows.append((arm.arm.name, score.upper(), row, arm.each(score), ours - theirs, theirs))
        notes.append(
            f"{arm.arm.name}: " + ("does not compare: " + "; ".join(words) + "." if words else
            f"compares: {FOLDS} folds, the same classes, the epoch selected on the test fold in both. The fidelity "
            "section lists what else differs.")
        )  # fmt: skip
    numbers = [
        {"arm": name, "score": score, "published": theirs, "ours": theirs + gap, "difference": gap}
        for name, score, _, _, gap, theirs in rows
    ]
    text = [
        {
            "arm": name,
            "score": score,
            "published": f"{row[score.lower()]} ± {row[score.lower() + '_std']}",
            "ours": mean_and_deviation(each),
            "difference": points(gap),
        }
        for name, score, row, each, gap, _ in rows
    ]
    tables = []
    if rows:
        caption = "SeeNet as published (Li et al. 2025, table 2) and as trained here: mean ± standard deviation."
        tables.append(Table(f"{prefix}published", caption, pd.DataFrame(numbers), pd.DataFrame(text)))
    methods = pd.DataFrame(published_rows(study.first))
    shown = methods[["method", "year", "augmentation", "auxiliary_task", "backbone", "ua", "wa"]].replace("", NONE)
    caption = f"All methods of the published table for this corpus ({row['protocol']}, {row['classes']} classes)."
    tables.append(Table(f"{prefix}methods", caption, methods, shown, folded=True))
    return Section("Beside the published figures", notes, (), tables)
