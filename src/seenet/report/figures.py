"""Figures as PNG: confusion matrices and learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seenet.paths import whole

# Okabe & Ito: told apart by colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def selected_on(selection: str) -> str:
    """What the epoch was selected on, for a legend."""
    return "test fold (selects the epoch)" if selection == "test" else "held-out speakers"


def _save(figure: Figure, path: Path) -> None:
    with whole(path) as building:
        FigureCanvasAgg(figure).print_png(str(building))


def confusion_figure(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: Path) -> None:
    """Recall in colour, percent and count in each cell.

    Args:
        confusion: counts, rows the true class. Shape (classes, classes).
        classes: their names.
        title: above the matrix.
        path: the PNG to write.
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    size = 2.6 + 0.75 * len(classes)
    figure = Figure(figsize=(size + 0.6, size), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    for i, j in np.ndindex(counts.shape):
        colour = "white" if share[i, j] > 0.55 else "black"
        text = f"{100 * share[i, j]:.0f}%\n{counts[i, j]}"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, fontsize=9, wrap=True)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    _save(figure, path)


def curves_figure(histories: Mapping[str, Sequence[Mapping[str, Any]]], evaluated: str, title: str, path: Path) -> None:
    """Loss and UA by epoch, one colour a fold; a ring marks the epoch that was selected.

    Args:
        histories: for each fold's name its epochs, rows of curves.csv.
        evaluated: the part behind the solid lines, for the legend.
        title: above the figure.
        path: the PNG to write.
    """
    figure = Figure(figsize=(10, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (name, rows) in zip(np.resize(COLOURS, len(histories)), histories.items(), strict=True):
        epochs = [row["epoch"] for row in rows]
        left.plot(epochs, [row["fit_loss"] for row in rows], "--", color=colour)
        left.plot(epochs, [row["dev_loss"] for row in rows], color=colour, label=name)
        right.plot(epochs, [100 * row["fit_ua"] for row in rows], "--", color=colour)
        right.plot(epochs, [100 * row["dev_ua"] for row in rows], color=colour, label=name)
        best = max(rows, key=lambda row: row["dev_ua"])
        right.plot(best["epoch"], 100 * best["dev_ua"], "o", color=colour, fillstyle="none", markersize=9)
    left.set(xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="UA %")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(title=f"solid: {evaluated}\ndashed: training batches", fontsize=8, title_fontsize=8)
    figure.suptitle(title, fontsize=9)
    _save(figure, path)
