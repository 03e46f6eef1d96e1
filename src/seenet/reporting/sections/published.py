"""Section that compares results with published figures."""

import statistics
from collections.abc import Mapping, Sequence

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.console_tables import format_mean_std
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import MISSING_TEXT, format_points
from seenet.reporting.grouping import Study
from seenet.reporting.published_results import (
    PUBLISHED_FOLD_COUNT,
    list_mismatches,
    published_row,
    read_published_rows,
)

METHOD_COLUMNS = ["method", "year", "augmentation", "auxiliary_task", "backbone", "ua", "wa"]


def build_published_section(study: Study, arms: Sequence[ArmMetrics], prefix: str) -> Section | None:
    """Build the comparison with published figures; return None if the corpus has none."""
    row = published_row(study.first_facts)
    if row is None or study.condition != "clean":
        return None
    numbers, text, notes = [], [], []
    for arm in arms:
        facts = arm.results[0].facts
        if (facts["aug"], facts["aux_task"]) != ("ebm", "see"):
            continue
        notes.append(_describe_comparability(arm, row))
        for score in ("ua", "wa"):
            scores, published = arm.list_scores(score), float(row[score]) / 100
            difference = statistics.mean(scores) - published
            names = {"arm": arm.arm.name, "score": score.upper()}
            numbers.append(names | {"published": published, "ours": published + difference, "difference": difference})
            shown = {"published": f"{row[score]} ± {row[f'{score}_std']}", "ours": format_mean_std(scores)}
            text.append(names | shown | {"difference": format_points(difference)})
    tables = []
    if numbers:
        caption = "SeeNet as published (Li et al. 2025, table 2) and as trained here: mean ± standard deviation."
        tables.append(Table(f"{prefix}published", caption, pd.DataFrame(numbers), pd.DataFrame(text)))
    methods = pd.DataFrame(read_published_rows(study.first_facts))
    shown = methods[METHOD_COLUMNS].replace("", MISSING_TEXT)
    caption = f"All methods of the published table for this corpus ({row['protocol']}, {row['classes']} classes)."
    tables.append(Table(f"{prefix}methods", caption, methods, shown, is_collapsed=True))
    return Section("Published figures", notes, (), tables)


def _describe_comparability(arm: ArmMetrics, row: Mapping[str, str]) -> str:
    """State whether an arm is comparable with the published figure, or why not."""
    facts = arm.results[0].facts
    reasons = list_mismatches(facts, row)
    folds = len({result.fold_and_seed[0] for result in arm.results})
    if folds < facts["n_folds"]:
        reasons.append(f"only {folds} of {facts['n_folds']} folds have results")
    if facts["backbone"] != "wavlm":
        reasons.append(f"{facts['backbone']} here, {row['backbone']} there")
    if reasons:
        return f"{arm.arm.name} is not comparable: {'; '.join(reasons)}."
    return (
        f"{arm.arm.name} is comparable: {PUBLISHED_FOLD_COUNT} folds, the same classes, epoch selected on the test "
        'fold in both. The section "Fidelity to the paper" lists the other differences.'
    )
