"""Console tables: folds of a run, test conditions of a run, arms of a sweep."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from seenet.core.console import make_console, print_line
from seenet.reporting.arm_settings import LATER_CHOICES
from seenet.reporting.published_results import published_row
from seenet.runs.results import condition_label

Result = Mapping[str, Any]
"""The content of result.json."""

SCORE_HEADINGS = {"ua": "UA %", "wa": "WA %", "macro_f1": "macro-F1 %"}
"""Scores and their column headings."""


def format_mean_std(values: Sequence[float]) -> str:
    """Format shares in percent as mean ± sample standard deviation, or as a single value."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def _format_scores(results: Sequence[Result]) -> list[str]:
    return [format_mean_std([r["metrics"][score] for r in results]) for score in SCORE_HEADINGS]


def collect_remarks(results: Sequence[Result]) -> list[str]:
    """Return the warnings that every reader of these figures needs, each once."""
    remarks = []
    for result in results:
        if result["synthetic"]:
            remarks.append("SYNTHETIC corpus: computer-generated clips; the figures do not apply to real speech")
        if result["remark"]:
            remarks.append(result["remark"])
        if result["bad_files"]["count"]:
            remarks.append(
                f"{result['bad_files']['count']} audio files could not be used ({result['bad_files']['list']})"
            )
        if result["audit"]["verdict"] == "leaks allowed":
            remarks.append("the audit found leaks that protocol.allow_leaks accepts: optimistic")
        if result["audit"]["verdict"] == "speakers unknown":
            remarks.append("the corpus does not name all speakers: speaker independence is not proved")
        for name, corpus in result["corpora"].items():
            clips = corpus.get("merged_clips", {})  # older results lack it
            remarks += [
                f"{name}: {old} is counted as {new}" + (f" ({clips[old]} clips)" if old in clips else "")
                for old, new in corpus["merged"].items()
            ]
    return list(dict.fromkeys([*remarks, *_find_absent_classes(results)]))


def _find_absent_classes(results: Sequence[Result]) -> list[str]:
    """Return a remark for test parts without a clip of a class.

    Their UA and macro-F1 are means over the other classes.
    """
    folds_by_absent: dict[tuple[str, ...], dict[int, None]] = {}
    for result in results:
        absent = tuple(c for c, recall in result["metrics"]["recall"].items() if recall is None)
        if absent:
            folds_by_absent.setdefault(absent, {})[result["fold"]] = None
    count, remarks = len(results[0]["classes"]) if results else 0, []
    for absent, folds in folds_by_absent.items():
        names = ", ".join(map(str, list(folds)[:5])) + (" …" if len(folds) > 5 else "")
        remarks.append(
            f"no test clip of {', '.join(absent)} in {'fold' if len(folds) == 1 else f'{len(folds)} folds,'} {names}: "
            f"UA there is the mean over {count - len(absent)} of {count} classes"
        )
    return remarks


def _format_heading(first: Result, noise: str) -> str:
    unusual = {group: first[group] for group, usual in LATER_CHOICES.items() if first.get(group, usual) != usual}
    return (
        f"\n{first['dataset']} ({len(first['classes'])} classes), backbone={first['backbone']} aug={first['aug']} "
        f"aux_task={first['aux_task']} {''.join(f'{group}={name} ' for group, name in unusual.items())}"
        f"noise={noise} protocol={first['protocol']} seed={first['seed']}"
    )


def print_run(results: Sequence[Result]) -> None:
    """Print one row per fold, their mean and, if it is comparable, the published figure.

    Args:
        results: one for each fold, under the same test condition.
    """
    first = results[0]
    print_line(_format_heading(first, condition_label(first)))
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("test fold", *SCORE_HEADINGS.values(), "test clips", "best epoch"):
        table.add_column(column, justify="right")
    for result in results:
        scores = [f"{100 * result['metrics'][score]:.1f}" for score in SCORE_HEADINGS]
        number = "" if result["config"].get("test_dataset") is not None else f"{result['fold']} of {result['n_folds']}"
        fold = f"{result['test_part']}  {number}".strip()
        table.add_row(escape(fold), *scores, str(result["n_test"]), str(result["best_epoch"] or "–"))
    table.add_section()
    table.add_row("mean ± std", *_format_scores(results), str(sum(r["n_test"] for r in results)), "", style="bold")
    row = published_row(first, comparable_only=True)
    if row and len(results) == first["n_folds"]:
        figures = [f"{row[s]} ± {row[f'{s}_std']}" for s in ("ua", "wa")]
        table.add_row(f"SeeNet, paper ({row['backbone']})", *figures, "", "", "")
    make_console().print(table)
    for remark in collect_remarks(results):
        print_line(f"! {remark}")


def print_conditions(results: Sequence[Sequence[Result]]) -> None:
    """Print one row per test condition with its mean ± std over the folds.

    Args:
        results: for each condition, one result for each fold.
    """
    print_line(_format_heading(results[0][0], "…"))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("noise")
    for column in (*SCORE_HEADINGS.values(), "folds", "test clips"):
        table.add_column(column, justify="right")
    for of_condition in results:
        clips, folds = sum(r["n_test"] for r in of_condition), len(of_condition)
        name = escape(condition_label(of_condition[0]))
        table.add_row(name, *_format_scores(of_condition), str(folds), str(clips))
    make_console().print(table)
    for remark in collect_remarks([r for of_condition in results for r in of_condition]):
        print_line(f"! {remark}")


def print_arms(arms: Mapping[str, Sequence[Result]]) -> None:
    """Print one row per arm and test condition with its mean ± std over all folds and seeds."""
    print_line("\ncomparison of arms (mean ± std over folds and seeds)")
    table = Table(box=box.SIMPLE_HEAD)
    conditions = dict.fromkeys(condition_label(r) for results in arms.values() for r in results)
    table.add_column("arm")
    if len(conditions) > 1:
        table.add_column("noise")
    for column in (*SCORE_HEADINGS.values(), "folds", "seeds", "test clips"):
        table.add_column(column, justify="right")
    for name, results in arms.items():
        for condition in conditions:
            selected = [r for r in results if condition_label(r) == condition]
            if selected:
                counts = len({(r["fold"], r["test_part"]) for r in selected}), len({r["seed"] for r in selected})
                clips = sum(r["n_test"] for r in selected)
                shown = [escape(condition)] if len(conditions) > 1 else []
                table.add_row(escape(name), *shown, *_format_scores(selected), *map(str, counts), str(clips))
    make_console().print(table)
    for remark in collect_remarks([r for results in arms.values() for r in results]):
        print_line(f"! {remark}")
