"""Console tables: the folds of a run, and the arms of a sweep."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from seenet.core.console import make_console, print_line
from seenet.reporting.published_results import comparable_row
from seenet.runs.results import condition_label

Result = Mapping[str, Any]
SCORES = {"ua": "UA %", "wa": "WA %", "macro_f1": "macro-F1 %"}


def mean_and_deviation(values: Sequence[float]) -> str:
    """Percent, as mean ± sample standard deviation; a single value has no deviation."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def _scores(results: Sequence[Result]) -> list[str]:
    return [mean_and_deviation([r["metrics"][score] for r in results]) for score in SCORES]


def remarks(results: Sequence[Result]) -> list[str]:
    """What every reader of these figures must know, each remark once."""
    said = []
    for result in results:
        if result["synthetic"]:
            said.append("SYNTHETIC corpus: a program spoke these clips; the figures say nothing about speech")
        if result["remark"]:
            said.append(result["remark"])
        if result["bad_files"]["count"]:
            said.append(f"{result['bad_files']['count']} audio files could not be used ({result['bad_files']['list']})")
        if result["audit"]["verdict"] == "leaks allowed":
            said.append("the audit found leaks that protocol.allow_leaks accepts: optimistic")
        if result["audit"]["verdict"] == "speakers unknown":
            said.append("the corpus does not name all speakers: speaker independence is not proved")
        for name, corpus in result["corpora"].items():
            clips = corpus.get("merged_clips", {})  # which older results lack
            said += [
                f"{name}: {old} is counted as {new}" + (f" ({clips[old]} clips)" if old in clips else "")
                for old, new in corpus["merged"].items()
            ]
    return list(dict.fromkeys([*said, *_absent_classes(results)]))


def _absent_classes(results: Sequence[Result]) -> list[str]:
    """Which test parts hold no clip of a class: their UA and macro-F1 are means over the other classes."""
    lacking: dict[tuple[str, ...], dict[int, None]] = {}
    for result in results:
        absent = tuple(c for c, recall in result["metrics"]["recall"].items() if recall is None)
        if absent:
            lacking.setdefault(absent, {})[result["fold"]] = None
    count, said = len(results[0]["classes"]) if results else 0, []
    for absent, folds in lacking.items():
        names = ", ".join(map(str, list(folds)[:5])) + (" …" if len(folds) > 5 else "")
        said.append(
            f"no test clip of {', '.join(absent)} in {'fold' if len(folds) == 1 else f'{len(folds)} folds,'} {names}: "
            f"UA there is the mean over {count - len(absent)} of {count} classes"
        )
    return said


def _heading(first: Result, noise: str) -> str:
    return (
        f"\n{first['dataset']} ({len(first['classes'])} classes), backbone={first['backbone']} aug={first['aug']} "
        f"aux_task={first['aux_task']} noise={noise} protocol={first['protocol']} seed={first['seed']}"
    )


def print_run(results: Sequence[Result]) -> None:
    """One row a fold, then the mean and, where it compares, the published figure.

    Args:
        results: one for each fold, of the same test condition.
    """
    first = results[0]
    print_line(_heading(first, condition_label(first)))
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("test fold", *SCORES.values(), "test clips", "best epoch"):
        table.add_column(column, justify="right")
    for result in results:
        scores = [f"{100 * result['metrics'][score]:.1f}" for score in SCORES]
        number = "" if result["config"].get("test_dataset") is not None else f"{result['fold']} of {result['n_folds']}"
        fold = f"{result['test_part']}  {number}".strip()
        table.add_row(escape(fold), *scores, str(result["n_test"]), str(result["best_epoch"]))
    table.add_section()
    table.add_row("mean ± std", *_scores(results), str(sum(r["n_test"] for r in results)), "", style="bold")
    row = comparable_row(first)
    if row and len(results) == first["n_folds"]:
        figures = [f"{row[s]} ± {row[f'{s}_std']}" for s in ("ua", "wa")]
        table.add_row(f"SeeNet, paper ({row['backbone']})", *figures, "", "", "")
    make_console().print(table)
    for remark in remarks(results):
        print_line(f"! {remark}")


def print_conditions(results: Sequence[Sequence[Result]]) -> None:
    """One row a test condition: its mean ± std over the folds.

    Args:
        results: for each condition one for each fold.
    """
    print_line(_heading(results[0][0], "…"))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("noise")
    for column in (*SCORES.values(), "folds", "test clips"):
        table.add_column(column, justify="right")
    for here in results:
        clips = sum(r["n_test"] for r in here)
        table.add_row(escape(condition_label(here[0])), *_scores(here), str(len(here)), str(clips))
    make_console().print(table)
    for remark in remarks([r for here in results for r in here]):
        print_line(f"! {remark}")


def print_arms(arms: Mapping[str, Sequence[Result]]) -> None:
    """One row an arm and test condition: its mean ± std over the folds and seeds run."""
    print_line("\ncomparison of arms (mean ± std over folds and seeds)")
    table = Table(box=box.SIMPLE_HEAD)
    conditions = dict.fromkeys(condition_label(r) for results in arms.values() for r in results)
    table.add_column("arm")
    if len(conditions) > 1:
        table.add_column("noise")
    for column in (*SCORES.values(), "folds", "seeds", "test clips"):
        table.add_column(column, justify="right")
    for name, results in arms.items():
        for condition in conditions:
            here = [r for r in results if condition_label(r) == condition]
            if here:
                counts = len({(r["fold"], r["test_part"]) for r in here}), len({r["seed"] for r in here})
                clips = sum(r["n_test"] for r in here)
                shown = [escape(condition)] if len(conditions) > 1 else []
                table.add_row(escape(name), *shown, *_scores(here), *map(str, counts), str(clips))
    make_console().print(table)
    for remark in remarks([r for results in arms.values() for r in results]):
        print_line(f"! {remark}")
