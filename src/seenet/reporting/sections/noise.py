"""UA against the level of added noise."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seenet.evaluation.clusters import name_clusters
from seenet.reporting import report_plots
from seenet.reporting.arm_metrics import ArmMetrics, area
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import interval, percent
from seenet.reporting.grouping import Arm, Study
from seenet.runs.results import noise_label

Triple = tuple[float, float, float]


def _triple(arm: ArmMetrics) -> Triple:
    return (arm.ua, arm.interval.low, arm.interval.high) if arm.interval else (arm.ua, math.nan, math.nan)


def noise_section(study: Study, arms: Sequence[Arm], folder: Path, prefix: str) -> Section | None:
    """A figure and a table for each source of noise; None where nothing was tested in noise."""
    sources: dict[str, dict[str, dict[float, ArmMetrics]]] = {}
    clean: dict[str, ArmMetrics] = {}
    for arm in arms:
        for condition in dict.fromkeys(r.condition for r in arm.results):
            results = arm.under(condition)
            settings, measured = results[0].facts["condition"], ArmMetrics(arm, results, study.classes)
            if "snr_db" in settings:
                source = ", ".join(noise_label(settings)) or "noise"
                sources.setdefault(source, {}).setdefault(arm.name, {})[settings["snr_db"]] = measured
            elif condition == "clean":
                clean[arm.name] = measured
    if not sources:
        return None
    pictures, tables = [], []
    for number, (source, curves) in enumerate(sources.items()):
        name = f"{prefix}noise" + (f"-{number + 1}" if number else "")
        beside = {arm: _triple(clean[arm]) for arm in curves if arm in clean}
        drawn = {arm: {snr: _triple(m) for snr, m in curve.items()} for arm, curve in curves.items()}
        over = name_clusters(measured.clusters for curve in curves.values() for measured in curve.values())
        caption = f"UA against the speech-to-noise ratio, noise: {source}; 95 % intervals over {over}."
        pictures.append(
            report_plots.save_figure(
                report_plots.noise(drawn, beside), folder, name, caption, "UA by SNR; the table has the numbers"
            )
        )
        levels = sorted({snr for curve in curves.values() for snr in curve}, reverse=True)
        numbers, text = [], []
        for arm, curve in curves.items():
            row, words = {"arm": arm}, {"arm": arm}
            for label, measured in [("clean", clean.get(arm)), *((f"{snr:g} dB", curve.get(snr)) for snr in levels)]:
                row[label] = measured.ua if measured else None
                words[label] = f"{percent(measured.ua)} {interval(measured.interval)}" if measured else percent(None)
            complete = sorted(curve) == sorted(levels)
            row["area"] = area(sorted(curve), [curve[snr].ua for snr in sorted(curve)]) if complete else None
            words["area"] = percent(row["area"])
            numbers.append(row)
            text.append(words)
        caption = (
            f"Pooled UA %, noise: {source}. Area: the mean of the curve from {levels[-1]:g} to {levels[0]:g} dB, by "
            "the trapezoid rule."
        )
        frame = pd.DataFrame(numbers)
        tables.append(Table(name, caption, frame, pd.DataFrame(text), {c: c for c in frame.columns if c != "arm"}))
    return Section("Noise", ["Every model hears the same noise on the same clip."], pictures, tables)
