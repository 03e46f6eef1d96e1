"""Section on noise robustness: UA against the speech-to-noise ratio."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.evaluation.clusters import name_clusters
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import save_figure
from seenet.reporting.formatting import format_interval, format_percent
from seenet.reporting.grouping import Arm, Study
from seenet.reporting.report_plots import plot_noise_curves
from seenet.runs.results import noise_label

Curves = dict[str, dict[float, ArmMetrics]]
"""Metrics by arm and speech-to-noise ratio in dB."""


def build_noise_section(study: Study, arms: Sequence[Arm], folder: Path, prefix: str) -> Section | None:
    """Build a figure and a table for each noise; return None if no result has noise."""
    sources, clean = _group_by_noise(study, arms)
    if not sources:
        return None
    pictures, tables = [], []
    for number, (source, curves) in enumerate(sources.items()):
        name = f"{prefix}noise" + (f"-{number + 1}" if number else "")
        clean_values = {arm: _list_value_and_ends(clean[arm]) for arm in curves if arm in clean}
        values = {
            arm: {snr: _list_value_and_ends(metrics) for snr, metrics in curve.items()} for arm, curve in curves.items()
        }
        clusters = name_clusters(metrics.clusters for curve in curves.values() for metrics in curve.values())
        caption = f"UA against the speech-to-noise ratio, noise: {source}; 95 % intervals over {clusters}."
        figure = plot_noise_curves(values, clean_values)
        pictures.append(save_figure(figure, folder, name, caption, "UA by SNR; the table has the numbers"))
        tables.append(_table_noise(name, source, curves, clean))
    notes = ["Every model is tested with the same noise on the same clip."]
    return Section("Noise robustness", notes, pictures, tables)


def _group_by_noise(study: Study, arms: Sequence[Arm]) -> tuple[dict[str, Curves], dict[str, ArmMetrics]]:
    """Return the curves of each noise, and the metrics of each arm in clean speech."""
    sources: dict[str, Curves] = {}
    clean: dict[str, ArmMetrics] = {}
    for arm in arms:
        for condition in dict.fromkeys(result.condition for result in arm.results):
            results = arm.select_results(condition)
            settings, metrics = results[0].facts["condition"], ArmMetrics(arm, results, study.classes)
            if "snr_db" in settings:
                source = ", ".join(noise_label(settings)) or "noise"
                sources.setdefault(source, {}).setdefault(arm.name, {})[settings["snr_db"]] = metrics
            elif condition == "clean":
                clean[arm.name] = metrics
    return sources, clean


def _list_value_and_ends(arm: ArmMetrics) -> tuple[float, float, float]:
    return (arm.ua, arm.interval.low, arm.interval.high) if arm.interval else (arm.ua, math.nan, math.nan)


def _table_noise(name: str, source: str, curves: Curves, clean: Mapping[str, ArmMetrics]) -> Table:
    """Tabulate pooled UA by arm and noise level, and the area under each complete curve."""
    levels = sorted({snr for curve in curves.values() for snr in curve}, reverse=True)
    numbers, text = [], []
    for arm, curve in curves.items():
        row: dict[str, str | float | None] = {"arm": arm}
        words = {"arm": arm}
        for label, metrics in [("clean", clean.get(arm)), *((f"{snr:g} dB", curve.get(snr)) for snr in levels)]:
            ua = metrics.ua if metrics else None
            row[label] = ua
            words[label] = format_percent(ua) + (f" {format_interval(metrics.interval)}" if metrics else "")
        is_complete = sorted(curve) == sorted(levels)
        area = average_curve(sorted(curve), [curve[snr].ua for snr in sorted(curve)]) if is_complete else None
        row["area"], words["area"] = area, format_percent(area)
        numbers.append(row)
        text.append(words)
    caption = (
        f"Pooled UA %, noise: {source}. Area: the mean of the curve from {levels[-1]:g} to {levels[0]:g} dB, by "
        "the trapezoidal rule."
    )
    frame = pd.DataFrame(numbers)
    return Table(name, caption, frame, pd.DataFrame(text), {c: c for c in frame.columns if c != "arm"})


def average_curve(snr_db: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the mean of a curve by the trapezoidal rule; None for fewer than two points."""
    if len(snr_db) < 2:
        return None
    return float(np.trapezoid(values, snr_db) / (snr_db[-1] - snr_db[0]))
