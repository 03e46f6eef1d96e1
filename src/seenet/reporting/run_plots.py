"""Figures as PNG: confusion matrices and learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seenet.core.atomic import atomic_path
from seenet.reporting.fonts import drawable_text, spelled_out

# Okabe & Ito: told apart by colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def selected_on(selection: str) -> str:
    """What the epoch was selected on, for a legend."""
    return "test fold (selects the epoch)" if selection == "test" else "development part"


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    with drawable_text(figure) as undrawn, spelled_out(figure, undrawn), atomic_path(path) as building:
        figure.canvas.print_png(str(building))


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


def counts_figure(counts: Mapping[str, int], classes: Sequence[str], title: str, path: Path) -> None:
    """Clips by label, as bars; labels that are no class are grey.

    Args:
        counts: by label.
        classes: the labels that are classes.
        title: above the figure.
        path: the PNG to write.
    """
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(counts)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    names = list(counts)[::-1]
    bars = axes.barh(
        names, [counts[n] for n in names], color=[COLOURS[0] if n in classes else "#bbbbbb" for n in names]
    )
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.margins(x=0.12)
    axes.set(xlabel="clips" + ("" if set(counts) <= set(classes) else " (grey: left out)"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def durations_figure(seconds: Mapping[str, np.ndarray], title: str, path: Path) -> None:
    """How long clips are, one box a class.

    Args:
        seconds: of the clips of each class.
        title: above the figure.
        path: the PNG to write.
    """
    names = [name for name in seconds if len(seconds[name])][::-1]
    figure = Figure(figsize=(7, 1.2 + 0.4 * len(names)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    boxes = axes.boxplot(
        [seconds[n] for n in names],
        tick_labels=names,
        orientation="horizontal",
        widths=0.6,
        patch_artist=True,
        whis=(5, 95),
    )
    for box in boxes["boxes"]:
        box.set(facecolor=COLOURS[5], alpha=0.7)
    for median in boxes["medians"]:
        median.set(color="black")
    for fliers in boxes["fliers"]:
        fliers.set(marker=".", markersize=3, markeredgecolor="#888888")
    axes.set(xlabel="seconds (box: quartiles; whiskers: 5 % and 95 %)")
    axes.set_xlim(left=0)
    axes.grid(axis="x", alpha=0.3)
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def speakers_figure(counts: pd.DataFrame, title: str, path: Path) -> None:
    """Clips of each speaker and class, in colour; of many speakers those with most clips.

    Args:
        counts: one row a speaker, one column a class.
        title: above the figure.
        path: the PNG to write.
    """
    most = 40
    chosen = set(counts.sum(axis=1).nlargest(most).index)
    shown = counts[counts.index.isin(chosen)]
    figure = Figure(figsize=(2.5 + 0.7 * len(shown.columns), 1.6 + 0.2 * len(shown)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shown.to_numpy(), aspect="auto", cmap="Blues", vmin=0)
    axes.set_xticks(range(len(shown.columns)), shown.columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(shown)), shown.index, fontsize=7)
    for i, j in np.ndindex(shown.shape):
        value = shown.iat[i, j]
        colour = "white" if value > 0.55 * shown.to_numpy().max() else "black"
        axes.text(j, i, str(value), ha="center", va="center", fontsize=6, color=colour)
    part = f"\nthe {len(shown)} with most clips of {len(counts)}" if len(counts) > most else ""
    axes.set_title(f"{title}: clips by speaker{part}", fontsize=9)
    figure.colorbar(image, label="clips", shrink=0.6)
    _save(figure, path)


def folds_figure(counts: pd.DataFrame, title: str, path: Path) -> None:
    """The labels of each test fold, as shares.

    Args:
        counts: one row a fold, one column a class.
        title: above the figure.
        path: the PNG to write.
    """
    shares = 100 * counts.div(counts.sum(axis=1), axis=0)
    figure = Figure(figsize=(7.5, 1.4 + 0.35 * len(counts)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(counts))
    names = [f"{fold} ({count})" for fold, count in counts.sum(axis=1).items()][::-1]
    for number, name in enumerate(counts.columns):
        values = shares[name].to_numpy()[::-1]
        # more classes than colours: the second round is hatched
        hatch = "//" if number >= len(COLOURS) else None
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(names, values, left=left, label=name, color=colour, hatch=hatch, edgecolor="white")
        left += values
    axes.set(xlabel="% of the fold's clips", xlim=(0, 100))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_title(f"{title}: labels of each test fold", fontsize=10)
    _save(figure, path)
