"""PNG figures of one fold, of a run and of a corpus."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seenet.core.atomic import atomic_path
from seenet.core.console import print_line
from seenet.reporting.fonts import prepare_text, replace_missing_glyphs
from seenet.runs.directory import main_choices
from seenet.runs.results import CURVES, condition_label

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Palette of Okabe and Ito, which colour-blind readers can distinguish."""

MAX_PLOTTED_SPEAKERS = 40


def describe_selection_part(selection: str) -> str:
    """Name the part that selects the epoch, for a legend."""
    names = {"dev": "development part", "test": "test fold (selects the epoch)", "none": "no part selects the epoch"}
    return names[selection]


def _write_png(figure: Figure, path: Path) -> None:
    canvas = FigureCanvasAgg(figure)
    with prepare_text(figure) as missing, replace_missing_glyphs(figure, missing), atomic_path(path) as temporary:
        canvas.print_png(str(temporary))  # type: ignore[no-untyped-call]  # untyped in matplotlib


def plot_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: Path) -> None:
    """Plot a confusion matrix, coloured by the share of the true class.

    Args:
        confusion: counts, rows the true class. Shape (classes, classes).
        classes: the class names.
        title: the text above the matrix.
        path: the PNG to write.
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    size = 2.6 + 0.75 * len(classes)
    figure = Figure(figsize=(size, size), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    for i, j in np.argwhere(counts):  # an empty cell has no text
        colour = "white" if share[i, j] > 0.55 else "black"
        text = f"{100 * share[i, j]:.0f}%\n{counts[i, j]}"
        cell = axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
        cell.set_in_layout(False)  # the text is within the axes; the layout would measure it
    axes.set(xlabel="predicted: percent of the true class, number of clips", ylabel="true")
    axes.set_title(title, fontsize=9, wrap=True)
    _write_png(figure, path)


def plot_learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], evaluated: str, title: str, path: Path
) -> None:
    """Plot loss and UA by epoch, one colour per fold; a ring marks the selected epoch.

    Args:
        histories: the rows of curves.csv by name of fold.
        evaluated: the name of the part that the solid lines show.
        title: the text above the figure.
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
    _write_png(figure, path)


def plot_label_counts(counts: Mapping[str, int], classes: Sequence[str], title: str, path: Path) -> None:
    """Plot a bar with the number of clips of each label; labels that are no class are grey.

    Args:
        counts: the number of clips by label.
        classes: the labels that are classes.
        title: the text above the figure.
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
    _write_png(figure, path)


def plot_durations(seconds: Mapping[str, np.ndarray], title: str, path: Path) -> None:
    """Plot a box of clip durations for each class.

    Args:
        seconds: the durations by class.
        title: the text above the figure.
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
    _write_png(figure, path)


def plot_speaker_counts(counts: pd.DataFrame, title: str, path: Path) -> None:
    """Plot the number of clips by speaker and class, for the 40 speakers with most clips.

    Args:
        counts: one row per speaker, one column per class.
        title: the text above the figure.
        path: the PNG to write.
    """
    chosen = set(counts.sum(axis=1).nlargest(MAX_PLOTTED_SPEAKERS).index)
    shown = counts[counts.index.isin(chosen)]
    figure = Figure(figsize=(2.5 + 0.7 * len(shown.columns), 1.6 + 0.2 * len(shown)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shown.to_numpy(), aspect="auto", cmap="Blues", vmin=0)
    axes.set_xticks(range(len(shown.columns)), shown.columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(shown)), shown.index, fontsize=7)
    for i, j in np.ndindex(shown.shape):
        value = shown.iat[i, j]
        colour = "white" if value > 0.55 * shown.to_numpy().max() else "black"
        axes.text(j, i, str(value), ha="center", va="center", fontsize=6, color=colour).set_in_layout(False)
    part = f"\nthe {len(shown)} with most clips of {len(counts)}" if len(counts) > MAX_PLOTTED_SPEAKERS else ""
    axes.set_title(f"{title}: clips by speaker{part}", fontsize=9)
    figure.colorbar(image, label="clips", shrink=0.6)
    _write_png(figure, path)


def plot_fold_labels(counts: pd.DataFrame, title: str, path: Path) -> None:
    """Plot the shares of the labels in each test fold.

    Args:
        counts: one row per fold, one column per class.
        title: the text above the figure.
        path: the PNG to write.
    """
    shares = 100 * counts.div(counts.sum(axis=1), axis=0)
    figure = Figure(figsize=(7.5, 1.4 + 0.35 * len(counts)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(counts))
    names = [f"{fold} ({count})" for fold, count in counts.sum(axis=1).items()][::-1]
    for number, name in enumerate(counts.columns):
        values = shares[name].to_numpy()[::-1]
        # Hatching distinguishes classes that share a colour.
        hatch = "//" if number >= len(COLOURS) else None
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(names, values, left=left, label=name, color=colour, hatch=hatch, edgecolor="white")
        left += values
    axes.set(xlabel="% of the fold's clips", xlim=(0, 100))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_title(f"{title}: labels of each test fold", fontsize=10)
    _write_png(figure, path)


def read_curves(path: Path) -> list[dict[str, float]]:
    """Read the rows of a curves.csv; return an empty list if the file is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (FileNotFoundError, ValueError, TypeError, csv.Error):
        return []
    return rows if all({"epoch", *CURVES} <= row.keys() for row in rows) else []


def _format_run_title(results: Sequence[Mapping[str, Any]]) -> str:
    first = results[0]
    corpus = f"{first['dataset']}{' (SYNTHETIC)' if first['synthetic'] else ''}"
    names = ", ".join(main_choices(first))
    return f"{corpus}, {len(results)} of {first['n_folds']} folds: {names}"


def plot_run_confusion(folder: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write confusion-<condition>.png of a run, pooled over these folds.

    Args:
        folder: the folder of the run.
        results: one for each fold, under the same condition.
    """
    first, condition = results[0], condition_label(results[0])
    pooled = np.sum([r["metrics"]["confusion"] for r in results], axis=0)
    ua = np.mean([r["metrics"]["ua"] for r in results])
    title = f"{_format_run_title(results)}, {condition}\nmean UA over folds {100 * ua:.1f} %"
    plot_confusion(pooled.tolist(), first["classes"], title, folder / f"confusion-{condition}.png")


def plot_run_curves(folders: Sequence[Path], results: Sequence[Mapping[str, Any]]) -> None:
    """Write curves.png of a run.

    Args:
        folders: the folders of its trainings.
        results: one for each fold.
    """
    rows_by_name = {folder.name: read_curves(folder / "curves.csv") for folder in folders}
    histories = {name: rows for name, rows in rows_by_name.items() if rows}
    if len(histories) < len(rows_by_name):
        missing = ", ".join(name for name in rows_by_name if name not in histories)
        print_line(f"! curves.png lacks {missing}: curves.csv is missing or damaged")
    if not histories:
        return
    evaluated = describe_selection_part(results[0]["selection"])
    plot_learning_curves(histories, evaluated, _format_run_title(results), folders[0].parent / "curves.png")
