"""Figures of the report.

An arm has the same colour, marker and line style in every figure; colour is never the only difference.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seenet.reporting.run_plots import COLOURS

MARKERS = "osD^vP*X"
LINE_STYLES = ("-", "--", "-.", ":")
FIGURE_WIDTH = 9.0
"""Width of a figure in inches."""
GREY = "#666666"


def _create_figure(height: float, width: float = FIGURE_WIDTH) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _choose_style(number: int, has_line: bool = False) -> dict[str, Any]:
    """Return colour, marker and line style of the arm with this number."""
    style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
    return style | {"linestyle": LINE_STYLES[number % len(LINE_STYLES)] if has_line else "none", "markersize": 5}


def _simplify_axes(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Hide the upper and right border and draw a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, alpha=0.25)
    axes.set_axisbelow(True)


def _add_legend(figure: Figure, axes: Axes) -> None:
    """Add one legend above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels))
    columns = max(1, min(len(labels), int(130 / (longest + 6))))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=8, frameon=False)


def plot_forest(
    ua: Mapping[str, tuple[float, float, float]], difference: Mapping[str, tuple[float, float, float]], baseline: str
) -> Figure:
    """Plot UA of each arm and its difference from the baseline, as dots with intervals.

    Args:
        ua: by arm, the value and the ends of its interval as shares; ends may be NaN.
        difference: by arm, the same for the difference; arms may be missing.
        baseline: the name of the baseline.
    """
    names = list(ua)
    figure = _create_figure(1.3 + 0.36 * len(names))
    left, right = figure.subplots(1, 2, sharey=True) if difference else (figure.add_subplot(), None)
    for axes, values in ((left, ua), (right, difference)):
        for row, name in enumerate(names):
            if axes is None or name not in values:
                continue
            value, low, high = 100 * np.array(values[name])
            axes.plot([low, high], [row, row], color=COLOURS[row % len(COLOURS)], linewidth=2.2, solid_capstyle="butt")
            axes.plot(value, row, **_choose_style(row) | {"markersize": 7})
    left.set(xlabel="UA % of all test clips, 95 % interval")
    left.set_yticks(range(len(names)), [f"{n} (baseline)" if n == baseline and right else n for n in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    _simplify_axes(left, "x")
    if right is not None:
        right.axvline(0, color=GREY, linewidth=1, linestyle="--")
        right.set(xlabel="UA difference from the baseline, points")
        right.tick_params(left=False)
        _simplify_axes(right, "x")
    return figure


def plot_confusions(matrices: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Plot one confusion matrix per arm, coloured by the share of the true class.

    Cells show percent; with up to 5 classes they also show the number of clips.
    """
    k = len(classes)
    columns = min(len(matrices), 3 if k <= 5 else 2)
    rows = math.ceil(len(matrices) / columns)
    width = FIGURE_WIDTH if columns > 1 else min(FIGURE_WIDTH, 2.6 + 0.75 * k)
    figure = _create_figure(rows * (width / columns * 0.96 + 0.15) + 0.3, width)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(matrices) :]:
        axes.set_visible(False)
    size = 8 if k <= 5 else 6.5
    for position, (axes, (name, counts)) in enumerate(zip(panels.flat, matrices.items(), strict=False)):
        totals = counts.sum(axis=1, keepdims=True)
        share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
        image = axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
        for i, j in np.ndindex(counts.shape):
            text = f"{100 * share[i, j]:.0f}%\n{counts[i, j]}" if k <= 5 else f"{100 * share[i, j]:.0f}"
            colour = "white" if share[i, j] > 0.55 else "black"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
        axes.set_title(name, fontsize=8.5, wrap=True)
        axes.set_yticks(range(k), classes, fontsize=size + 0.5)
        axes.set_xticks(range(k), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=size + 0.5)
        is_lowest = position + columns >= len(matrices)
        axes.tick_params(labelbottom=is_lowest, labelleft=position % columns == 0)
        axes.set(xlabel="predicted" if is_lowest else "", ylabel="true" if position % columns == 0 else "")
    figure.colorbar(image, ax=panels, label="share of the true class", shrink=0.6, aspect=30, fraction=0.03)
    return figure


def plot_recalls(values: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Plot the recall of each class, one mark per arm.

    Args:
        values: by arm, the recalls, shape (classes,); NaN if a class does not occur.
        classes: the class names.
    """
    figure = _create_figure(1.0 + len(classes) * (0.3 + 0.06 * len(values)) + 0.22 * math.ceil(len(values) / 3))
    axes = figure.add_subplot()
    spread = np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.zeros(1)
    for number, (name, recall) in enumerate(values.items()):
        axes.plot(100 * recall, np.arange(len(classes)) + spread[number], label=name, **_choose_style(number))
    for row in range(1, len(classes)):
        axes.axhline(row - 0.5, color="#dddddd", linewidth=0.8)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="recall %", ylim=(len(classes) - 0.5, -0.5))
    _simplify_axes(axes, "x")
    _add_legend(figure, axes)
    return figure


def plot_speaker_scores(values: Mapping[str, pd.Series]) -> Figure:
    """Plot UA of each speaker in the order of the first arm, one mark per arm.

    Args:
        values: by arm, UA indexed by speaker.
    """
    order = next(iter(values.values())).sort_values(kind="stable").index
    figure = _create_figure(3.2)
    axes = figure.add_subplot()
    for number, (name, series) in enumerate(values.items()):
        shift = 0.5 * (number / max(len(values) - 1, 1) - 0.5)  # prevents overlap of the marks
        style = _choose_style(number) | {"alpha": 0.85}
        axes.plot(np.arange(len(order)) + shift, 100 * series.reindex(order), label=name, **style)
    if len(order) <= 60:
        axes.set_xticks(range(len(order)), order, rotation=90 if len(order) > 24 else 0, fontsize=7.5)
    axes.set(xlabel=f"speakers, by UA of {next(iter(values))}", ylabel="UA %")
    axes.margins(x=0.02)
    _simplify_axes(axes, "y")
    _add_legend(figure, axes)
    return figure


def plot_learning_curves(curves: Mapping[str, pd.DataFrame], evaluated: str) -> Figure:
    """Plot loss and UA by epoch: mean over folds and seeds, band from lowest to highest.

    Args:
        curves: by arm, indexed by epoch; columns (`dev_loss`, `dev_ua`) by (`mean`, `min`, `max`).
        evaluated: the name of the part.
    """
    figure = _create_figure(3.4)
    panels = figure.subplots(1, 2)
    for axes, column, factor, label in zip(panels, ("dev_loss", "dev_ua"), (1, 100), ("loss", "UA %"), strict=True):
        for number, (name, table) in enumerate(curves.items()):
            style = _choose_style(number, has_line=True) | {"markersize": 4, "markevery": max(1, len(table) // 6)}
            axes.plot(table.index, factor * table[column, "mean"], label=name, **style)
            ends = (factor * table[column, end] for end in ("min", "max"))
            axes.fill_between(table.index, *ends, color=style["color"], alpha=0.1, linewidth=0)
        axes.set(xlabel="epoch", ylabel=f"{label}, {evaluated}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _simplify_axes(axes)
    _add_legend(figure, panels[0])
    return figure


def plot_layer_weights(weights: Mapping[str, tuple[int, pd.DataFrame]]) -> Figure:
    """Plot the mean weight of each layer as a bar, with a line from lowest to highest, one panel per arm.

    Args:
        weights: by arm, its number and one row per training; columns are layers, and the weights of a row sum to 1.
    """
    columns = min(len(weights), 3)
    rows = math.ceil(len(weights) / columns)
    figure = _create_figure(0.3 + 2.5 * rows, FIGURE_WIDTH if columns > 1 else 5)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(weights) :]:
        axes.set_visible(False)
    for axes, (name, (number, table)) in zip(panels.flat, weights.items(), strict=False):
        layers = np.array(table.columns)
        axes.bar(layers, 100 * table.mean(), width=0.7, color=COLOURS[number % len(COLOURS)], alpha=0.6)
        axes.vlines(layers, 100 * table.min(), 100 * table.max(), color="black", linewidth=1.6)
        axes.axhline(100 / len(layers), color=GREY, linewidth=1, linestyle=":")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(name, fontsize=8.5, wrap=True)
        axes.set(xlabel="layer")
        _simplify_axes(axes, "y")
    for axes in panels[:, 0]:
        axes.set_ylabel("weight %")
    return figure


def plot_noise_curves(
    curves: Mapping[str, Mapping[float, tuple[float, float, float]]], clean: Mapping[str, tuple[float, float, float]]
) -> Figure:
    """Plot UA by SNR with intervals; the right end shows clean speech.

    Args:
        curves: by arm and SNR in dB, the value and the ends of its interval.
        clean: by arm, the same for clean speech; arms may be missing.
    """
    levels = sorted({level for curve in curves.values() for level in curve})
    step = min(np.diff(levels), default=5.0)
    figure = _create_figure(3.8)
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(curves.items()):
        shift = (number - (len(curves) - 1) / 2) * step * 0.06  # prevents overlap of the intervals
        lines = [(True, dict(sorted(curve.items())))]
        if name in clean:
            lines.append((False, {levels[-1] + step: clean[name]}))
        for is_curve, points in lines:
            triples, places = 100 * np.array(list(points.values())), np.array(list(points)) + shift
            style = _choose_style(number, has_line=is_curve) | {"linewidth": 1.6}
            axes.plot(places, triples[:, 0], label=name if is_curve else None, **style)
            axes.vlines(places, triples[:, 1], triples[:, 2], color=style["color"], alpha=0.5, linewidth=1.3)
    axes.set_xticks([*levels, levels[-1] + step], [*(f"{level:g}" for level in levels), "clean"])
    axes.axvline(levels[-1] + step / 2, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(xlabel="speech-to-noise ratio, dB", ylabel="UA %, 95 % interval")
    _simplify_axes(axes)
    _add_legend(figure, axes)
    return figure


def plot_reliability(arms: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]) -> Figure:
    """Plot accuracy by confidence, one panel per arm.

    Args:
        arms: by arm and by kind of probabilities, the confidence, accuracy and clips of each bin.
    """
    columns = min(len(arms), 3)
    rows = math.ceil(len(arms) / columns)
    figure = _create_figure(rows * FIGURE_WIDTH / max(columns, 2) * 0.8 + 0.5, FIGURE_WIDTH if columns > 1 else 5)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(arms) :]:
        axes.set_visible(False)
    for axes, (name, kinds) in zip(panels.flat, arms.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for number, (kind, (confidence, accuracy, clips)) in enumerate(kinds.items()):
            axes.plot(confidence, accuracy, label=kind, **_choose_style(number, has_line=True) | {"markersize": 3})
            axes.scatter(confidence, accuracy, s=4 + 120 * clips / clips.sum(), color=COLOURS[number], alpha=0.35)
        axes.set_title(name, fontsize=8.5, wrap=True)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), aspect="equal")
        axes.xaxis.set_tick_params(labelbottom=True)
        _simplify_axes(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy")
    for axes in panels.flat[max(0, len(arms) - columns) : len(arms)]:
        axes.set_xlabel("confidence")
    _add_legend(figure, panels.flat[0])
    return figure


def plot_embeddings(points: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str]) -> Figure:
    """Plot clips as points in the plane, one panel per arm, with colour and marker by class.

    Args:
        points: by arm, the coordinates, shape (clips, 2), and the class indices, shape (clips,).
        classes: the class names.
    """
    figure = _create_figure(4.6 if len(points) > 1 else 5.2, FIGURE_WIDTH if len(points) > 1 else 6)
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (name, (coordinates, labels)) in zip(panels, points.items(), strict=True):
        for number, emotion in enumerate(classes):
            selected = coordinates[labels == number]
            style = _choose_style(number) | {"markersize": 4, "alpha": 0.75, "markeredgewidth": 0}
            axes.plot(selected[:, 0], selected[:, 1], label=emotion, **style)
        axes.set_title(name, fontsize=8.5, wrap=True)
        axes.set(xticks=[], yticks=[])
    _add_legend(figure, panels[0])
    return figure
