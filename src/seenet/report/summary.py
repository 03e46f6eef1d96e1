"""Pictures of a whole run: all folds together."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seenet.console import say
from seenet.report.figures import confusion_figure, curves_figure, selected_on
from seenet.runs import condition_of


def read_curves(path: Path) -> list[dict[str, float]]:
    """The rows of a curves.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


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
    first, condition = results[0], condition_of(results[0])
    pooled = np.sum([r["metrics"]["confusion"] for r in results], axis=0)
    ua = np.mean([r["metrics"]["ua"] for r in results])
    caption = f"{_title(results)}, {condition}\nmean UA over folds {100 * ua:.1f} %"
    confusion_figure(pooled.tolist(), first["classes"], caption, folder / f"confusion-{condition}.png")


def draw_curves(folder: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write curves.png into a run's folder.

    Args:
        folder: of the run; its folds lie below.
        results: one for each fold.
    """
    trained = sorted({r["trained_fold"] for r in results})
    paths = {f"fold {k}": folder / f"fold{k}" / "curves.csv" for k in trained}
    histories = {name: read_curves(path) for name, path in paths.items() if path.is_file()}
    if len(histories) < len(paths):
        say(f"! curves.png lacks {', '.join(paths.keys() - histories.keys())}: curves.csv is missing")
    curves_figure(histories, selected_on(results[0]["selection"]), _title(results), folder / "curves.png")
