"""Pictures of a whole run: all folds together."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seenet.report.figures import confusion_figure, curves_figure, selected_on


def read_curves(path: Path) -> list[dict[str, float]]:
    """The rows of a curves.csv."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def draw_run(folder: Path, results: Sequence[Mapping[str, Any]], condition: str) -> None:
    """Write confusion-<condition>.png (clips of these folds pooled) and curves.png into a run's folder.

    Args:
        folder: of the run; its folds lie below.
        results: one for each fold.
        condition: the test condition's folder name.
    """
    first = results[0]
    corpus = f"{first['dataset']}{' (SYNTHETIC)' if first['synthetic'] else ''}"
    title = (
        f"{corpus}, {len(results)} of {first['n_folds']} folds: "
        f"{first['backbone']}, {first['aug']}, {first['aux_task']}, {first['protocol']}"
    )
    pooled = np.sum([r["metrics"]["confusion"] for r in results], axis=0)
    ua = np.mean([r["metrics"]["ua"] for r in results])
    caption = f"{title}\nmean UA over folds {100 * ua:.1f} %"
    confusion_figure(pooled.tolist(), first["classes"], caption, folder / f"confusion-{condition}.png")
    trained = sorted({r["trained_fold"] for r in results})
    histories = {f"fold {k}": read_curves(folder / f"fold{k}" / "curves.csv") for k in trained}
    curves_figure(histories, selected_on(first["selection"]), title, folder / "curves.png")
