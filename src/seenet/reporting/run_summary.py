"""Pictures of a whole run: all folds together."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seenet.core.console import print_line
from seenet.reporting.run_plots import confusion_figure, curves_figure, selected_on
from seenet.runs.results import CURVES, condition_label


def read_curves(path: Path) -> list[dict[str, float]]:
    """Read the rows of a curves.csv; none where it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (FileNotFoundError, ValueError, TypeError, csv.Error):
        return []
    return rows if all({"epoch", *CURVES} <= row.keys() for row in rows) else []


def _title(results: Sequence[Mapping[str, Any]]) -> str:
    first = results[0]
    corpus = f"{first['dataset']}{' (SYNTHETIC)' if first['synthetic'] else ''}"
    names = ", ".join(first[group] for group in ("backbone", "aug", "aux_task", "protocol"))
    return f"{corpus}, {len(results)} of {first['n_folds']} folds: {names}"


def draw_confusion(folder: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write confusion-<condition>.png, the clips of these folds pooled, into a run's folder.

    Args:
        folder: of the run.
        results: one for each fold, of the same condition.
    """
    first, condition = results[0], condition_label(results[0])
    pooled = np.sum([r["metrics"]["confusion"] for r in results], axis=0)
    ua = np.mean([r["metrics"]["ua"] for r in results])
    caption = f"{_title(results)}, {condition}\nmean UA over folds {100 * ua:.1f} %"
    confusion_figure(pooled.tolist(), first["classes"], caption, folder / f"confusion-{condition}.png")


def draw_curves(folders: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> None:
    """Write curves.png into a run's folder.

    Args:
        folders: of the run's trainings.
        results: one for each fold.
    """
    found = {folder.name: read_curves(folder / "curves.csv") for folder in folders}
    histories = {name: rows for name, rows in found.items() if rows}
    if len(histories) < len(found):
        lost = ", ".join(name for name in found if name not in histories)
        print_line(f"! curves.png lacks {lost}: curves.csv is missing or damaged")
    if not histories:
        return
    curves_figure(histories, selected_on(results[0]["selection"]), _title(results), folders[0].parent / "curves.png")
