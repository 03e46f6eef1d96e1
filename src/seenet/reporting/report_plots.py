"""Figures of the report. Arms keep colour, marker and line style from one to the next; none is told by colour alone."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seenet.core.atomic import atomic_path
from seenet.reporting.fonts import drawable_text, spelled_out
from seenet.reporting.run_plots import COLOURS

MARKERS = "osD^vP*X"
LINES = ("-", "--", "-.", ":")
WIDTH = 9.0  # inches
GREY = "#666666"
STILL = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}  # the same results give the same bytes


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        name: of its files.
        caption: beneath it.
        alt: what it shows, for those who do not see it.
        uri: the SVG itself.
    """

    name: str
    caption: str
    alt: str
    uri: str


def save_figure(figure: Figure, folder: Path, name: str, caption: str, alt: str) -> Picture:
    """Write `<name>.png` and `<name>.pdf`, and hold the SVG for the page."""
    FigureCanvasAgg(figure)
    with drawable_text(figure) as undrawn:
        with spelled_out(figure, undrawn):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not for each format
            for kind in ("png", "pdf"):
                _render(figure, folder / f"{name}.{kind}", kind)
        # A browser has fonts for what no installed font draws here, so the page holds letters in place of outlines.
        text = io.BytesIO()
        _render(figure, text, "svg", {"svg.fonttype": "none" if undrawn else "path"})
    uri = "data:image/svg+xml;base64," + base64.b64encode(text.getvalue()).decode()
    return Picture(name, caption, alt, uri)


def _render(figure: Figure, target: Path | io.BytesIO, kind: str, settings: Mapping[str, object] | None = None) -> None:
    """Write one format of a figure to a file or a buffer."""
    style = {"svg.hashsalt": "seenet", "path.simplify_threshold": 0.5, **(settings or {})}
    options = {"format": kind, "metadata": STILL[kind]} | ({} if kind == "svg" else {"dpi": 150})
    with matplotlib.rc_context(style):
        if isinstance(target, Path):
            with atomic_path(target) as building:
                figure.savefig(building, **options)
        else:
            figure.savefig(target, **options)


def _figure(height: float, width: float = WIDTH) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _style(number: int, line: bool = False) -> dict[str, object]:
    style: dict[str, object] = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
    return style | {"linestyle": LINES[number % len(LINES)] if line else "none", "markersize": 5}


def _plain(axes: Axes, grid: str = "both") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, alpha=0.25)
    axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, above them."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels))
    columns = max(1, min(len(labels), int(130 / (longest + 6))))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=8, frameon=False)


def forest(
    ua: Mapping[str, tuple[float, float, float]], difference: Mapping[str, tuple[float, float, float]], baseline: str
) -> Figure:
    """Dots with intervals: UA of each arm, and beside it what sets it apart from the baseline.

    Args:
        ua: by arm the value and the ends of its interval, shares; ends may be NaN.
        difference: the same of the difference; arms may be missing.
        baseline: its name.
    """
    names = list(ua)
    figure = _figure(1.3 + 0.36 * len(names))
    left, right = figure.subplots(1, 2, sharey=True) if difference else (figure.add_subplot(), None)
    for axes, values in ((left, ua), (right, difference)):
        for row, name in enumerate(names):
            if axes is None or name not in values:
                continue
            value, low, high = 100 * np.array(values[name])
            axes.plot([low, high], [row, row], color=COLOURS[row % len(COLOURS)], linewidth=2.2, solid_capstyle="butt")
            axes.plot(value, row, **_style(row) | {"markersize": 7})
    left.set(xlabel="UA % of all test clips, 95 % interval")
    left.set_yticks(range(len(names)), [f"{n} (baseline)" if n == baseline and right else n for n in names])
    left.set_ylim(len(names) - 0.5, -0.5)
    _plain(left, "x")
    if right is not None:
        right.axvline(0, color=GREY, linewidth=1, linestyle="--")
        right.set(xlabel="UA difference from the baseline, points")
        right.tick_params(left=False)
        _plain(right, "x")
    return figure


def confusions(matrices: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Small multiples: recall in colour, percent and clips in each cell."""
    k = len(classes)
    columns = min(len(matrices), 3 if k <= 5 else 2)
    rows = math.ceil(len(matrices) / columns)
    width = WIDTH if columns > 1 else min(WIDTH, 2.6 + 0.75 * k)
    figure = _figure(rows * (width / columns * 0.96 + 0.15) + 0.3, width)
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
        below = position + columns >= len(matrices)
        axes.tick_params(labelbottom=below, labelleft=position % columns == 0)
        axes.set(xlabel="predicted" if below else "", ylabel="true" if position % columns == 0 else "")
    figure.colorbar(image, ax=panels, label="share of the true class", shrink=0.6, aspect=30, fraction=0.03)
    return figure


def recalls(values: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Recall of each class, one mark an arm. `values`: shape (classes,), NaN where a class does not occur."""
    figure = _figure(1.0 + len(classes) * (0.3 + 0.06 * len(values)) + 0.22 * math.ceil(len(values) / 3))
    axes = figure.add_subplot()
    spread = np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.zeros(1)
    for number, (name, recall) in enumerate(values.items()):
        axes.plot(100 * recall, np.arange(len(classes)) + spread[number], label=name, **_style(number))
    for row in range(1, len(classes)):
        axes.axhline(row - 0.5, color="#dddddd", linewidth=0.8)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="recall %", ylim=(len(classes) - 0.5, -0.5))
    _plain(axes, "x")
    _legend(figure, axes)
    return figure


def plot_speaker_scores(values: Mapping[str, pd.Series]) -> Figure:
    """UA of each speaker, sorted by the first arm's; one mark an arm.

    Args:
        values: by arm UA, indexed by speaker.
    """
    order = next(iter(values.values())).sort_values(kind="stable").index
    figure = _figure(3.2)
    axes = figure.add_subplot()
    for number, (name, series) in enumerate(values.items()):
        shift = 0.5 * (number / max(len(values) - 1, 1) - 0.5)  # side by side, not upon each other
        style = _style(number) | {"alpha": 0.85}
        axes.plot(np.arange(len(order)) + shift, 100 * series.reindex(order), label=name, **style)
    if len(order) <= 60:
        axes.set_xticks(range(len(order)), order, rotation=90 if len(order) > 24 else 0, fontsize=7.5)
    axes.set(xlabel=f"speakers, by UA of {next(iter(values))}", ylabel="UA %")
    axes.margins(x=0.02)
    _plain(axes, "y")
    _legend(figure, axes)
    return figure


def learning(curves: Mapping[str, pd.DataFrame], evaluated: str) -> Figure:
    """Loss and UA by epoch: the mean over folds and seeds, and from the lowest to the highest as a band.

    Args:
        curves: by arm; indexed by epoch, columns (`dev_loss`, `dev_ua`) by (`mean`, `min`, `max`).
        evaluated: the part that they are of.
    """
    figure = _figure(3.4)
    panels = figure.subplots(1, 2)
    for axes, column, factor, label in zip(panels, ("dev_loss", "dev_ua"), (1, 100), ("loss", "UA %"), strict=True):
        for number, (name, table) in enumerate(curves.items()):
            style = _style(number, line=True) | {"markersize": 4, "markevery": max(1, len(table) // 6)}
            axes.plot(table.index, factor * table[column, "mean"], label=name, **style)
            ends = (factor * table[column, end] for end in ("min", "max"))
            axes.fill_between(table.index, *ends, color=style["color"], alpha=0.1, linewidth=0)
        axes.set(xlabel="epoch", ylabel=f"{label}, {evaluated}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _plain(axes)
    _legend(figure, panels[0])
    return figure


def noise(
    curves: Mapping[str, Mapping[float, tuple[float, float, float]]], clean: Mapping[str, tuple[float, float, float]]
) -> Figure:
    """UA by SNR with intervals; clean speech stands apart at the right.

    Args:
        curves: by arm and SNR in dB the value and the ends of its interval.
        clean: by arm the same of clean speech; arms may be missing.
    """
    levels = sorted({level for curve in curves.values() for level in curve})
    step = min(np.diff(levels), default=5.0)
    figure = _figure(3.8)
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(curves.items()):
        shift = (number - (len(curves) - 1) / 2) * step * 0.06  # intervals beside, not upon each other
        for at, line in ((sorted(curve), True), ([None] if name in clean else [], False)):
            if not at:
                continue
            triples = 100 * np.array([curve[level] if line else clean[name] for level in at])
            places = np.array(at if line else [levels[-1] + step]) + shift
            style = _style(number, line=line) | {"linewidth": 1.6}
            axes.plot(places, triples[:, 0], label=name if line else None, **style)
            axes.vlines(places, triples[:, 1], triples[:, 2], color=style["color"], alpha=0.5, linewidth=1.3)
    axes.set_xticks([*levels, levels[-1] + step], [*(f"{level:g}" for level in levels), "clean"])
    axes.axvline(levels[-1] + step / 2, color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set(xlabel="speech-to-noise ratio, dB", ylabel="UA %, 95 % interval")
    _plain(axes)
    _legend(figure, axes)
    return figure


def reliability_diagram(arms: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]) -> Figure:
    """Accuracy by confidence, one panel an arm.

    Args:
        arms: by arm and by `as trained` or `tempered` confidence, accuracy and clips of each bin.
    """
    columns = min(len(arms), 3)
    rows = math.ceil(len(arms) / columns)
    figure = _figure(rows * WIDTH / max(columns, 2) * 0.8 + 0.5, WIDTH if columns > 1 else 5)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(arms) :]:
        axes.set_visible(False)
    for axes, (name, kinds) in zip(panels.flat, arms.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for number, (kind, (confidence, accuracy, clips)) in enumerate(kinds.items()):
            axes.plot(confidence, accuracy, label=kind, **_style(number, line=True) | {"markersize": 3})
            axes.scatter(confidence, accuracy, s=4 + 120 * clips / clips.sum(), color=COLOURS[number], alpha=0.35)
        axes.set_title(name, fontsize=8.5, wrap=True)
        axes.set(xlim=(0, 1.03), ylim=(0, 1.03), aspect="equal")
        axes.xaxis.set_tick_params(labelbottom=True)
        _plain(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy")
    for axes in panels.flat[max(0, len(arms) - columns) : len(arms)]:
        axes.set_xlabel("confidence")
    _legend(figure, panels.flat[0])
    return figure


def embedding(points: Mapping[str, tuple[np.ndarray, np.ndarray]], classes: Sequence[str]) -> Figure:
    """Points in the plane, one panel an arm, colour and marker by class.

    Args:
        points: by arm the places, shape (clips, 2), and the numbers of their classes, shape (clips,).
        classes: their names.
    """
    figure = _figure(4.6 if len(points) > 1 else 5.2, WIDTH if len(points) > 1 else 6)
    panels = figure.subplots(1, len(points), squeeze=False)[0]
    for axes, (name, (places, labels)) in zip(panels, points.items(), strict=True):
        for number, emotion in enumerate(classes):
            mine = places[labels == number]
            style = _style(number) | {"markersize": 4, "alpha": 0.75, "markeredgewidth": 0}
            axes.plot(mine[:, 0], mine[:, 1], label=emotion, **style)
        axes.set_title(name, fontsize=8.5, wrap=True)
        axes.set(xticks=[], yticks=[])
    _legend(figure, panels[0])
    return figure
